//! The oracles over their committed corpora.

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Captured output is shown for the file that fails.
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        replayed += 1;
    }
    assert_ne!(replayed, 0, "{} is empty", folder.display());
}

#[test]
fn differential_frames_corpus() {
    replay("differential_frames", crate::frames::check);
}

#[test]
fn differential_handshake_request_corpus() {
    replay("differential_handshake_request", crate::request::check);
}

#[test]
fn differential_handshake_response_corpus() {
    replay("differential_handshake_response", crate::response::check);
}
