//! The fuzz targets' oracles over their committed corpora: what a fuzzer has found once, or should
//! start from, is checked on every run, by a stable compiler.
//!
//! With `CORPORA=FOLDER`, the corpora of that folder are checked instead, such as what a run of the fuzzer has found.
#![cfg(feature = "endpoint")]

use std::path::Path;

use meter::Meter;

mod meter;

#[path = "../../fuzz/oracles/mod.rs"]
mod oracles;

#[cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]
#[path = "../../fuzz/oracles/deflate.rs"]
#[allow(dead_code, reason = "the tests use the rest of what it shares with them")]
mod deflate;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let folder =
        std::env::var_os("CORPORA").map_or(folder, |corpora| Path::new(&corpora).join(target));
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        // Captured output is shown for the file that fails.
        println!("{}", path.display());
        let meter = Meter::new();
        check(&data);
        // What the library and the oracle hold; engines and inflated messages are larger.
        let constant = if target.contains("flate") { 8 << 20 } else { 1 << 20 };
        // What a fuzzer has found for these may send 250 KB by each application, of which the oracles keep copies, and
        // compress on both sides, with engines of 380 KB.
        let sends = ["endpoint_calls", "two_endpoints"].contains(&target);
        let found = std::env::var_os("CORPORA").is_some();
        let constant = if sends && found { 4 << 20 } else { constant };
        let most = constant + 1024 * data.len();
        assert!(meter.peak() <= most, "{} bytes of at most {most}", meter.peak());
        replayed += 1;
    }
    assert_ne!(replayed, 0, "{} is empty", folder.display());
}

#[test]
fn frame_corpus() {
    replay("frame", oracles::frame::check);
}

#[test]
fn receive_corpus() {
    replay("receive", oracles::receive::check);
}

#[test]
fn handshake_corpus() {
    replay("handshake", oracles::handshake::check);
}

#[cfg(feature = "zlib-rs")]
#[test]
fn extensions_corpus() {
    replay("extensions", oracles::extensions::check);
}

#[test]
fn endpoint_calls_corpus() {
    replay("endpoint_calls", oracles::endpoint_calls::check);
}

#[test]
fn two_endpoints_corpus() {
    replay("two_endpoints", oracles::two_endpoints::check);
}

#[test]
fn utf8_corpus() {
    replay("utf8", oracles::utf8::check);
}

#[test]
fn mask_corpus() {
    replay("mask", oracles::mask::check);
}

#[test]
fn close_corpus() {
    replay("close", oracles::close::check);
}

#[cfg(feature = "proxy")]
#[test]
fn proxy_corpus() {
    replay("proxy", oracles::proxy::check);
}

#[test]
fn endpoint_corpus() {
    replay("endpoint", oracles::endpoint::check);
}

#[cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]
#[test]
fn inflate_corpus() {
    replay("inflate", deflate::inflate_any);
}

#[cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]
#[test]
fn deflate_round_trip_corpus() {
    replay("deflate_round_trip", deflate::round_trip);
}
