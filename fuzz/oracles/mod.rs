//! Properties that hold for any input, as functions of the fuzzer's bytes. They panic if a property does not hold.
//!
//! The fuzz targets call them with inputs from the fuzzer, and `ws-core/tests/replay_corpus.rs` calls them with the
//! committed corpora.
#![allow(dead_code, reason = "each fuzz target uses a part of it")]

pub(crate) mod close;
mod driver;
pub(crate) mod endpoint;
pub(crate) mod endpoint_calls;
#[cfg(feature = "zlib-rs")]
mod extension_list;
#[cfg(feature = "zlib-rs")]
pub(crate) mod extensions;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod mask;
mod model;
#[cfg(feature = "proxy")]
pub(crate) mod proxy;
pub(crate) mod receive;
pub(crate) mod two_endpoints;
pub(crate) mod utf8;
// The oracles describe events with the types of the tests.
#[path = "../../ws-core/tests/common/seen.rs"]
mod seen;

use ws_core::{Instant, MaskingKey, Role};

/// The masking key of every frame that a client sends here.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The time that the clock always shows. Nothing depends on it.
const START: Instant = Instant::from_millis(0);

/// The first bytes of an input to all targets but `frame`: the setup, and how the rest is cut.
struct Setup<'a> {
    /// The flags. Each target gives the bits its own meaning.
    flags: u8,
    /// The sizes of the pieces, from 1 to 256 bytes, used over and over.
    sizes: [usize; 4],
    stream: &'a [u8],
}

impl<'a> Setup<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let (&[flags, a, b, c, d], stream) = data.split_first_chunk::<5>()?;
        let sizes = [a, b, c, d].map(|size| usize::from(size) + 1);
        Some(Self { flags, sizes, stream })
    }

    fn flag(&self, bit: u8) -> bool {
        self.flags >> bit & 1 != 0
    }

    fn role(&self) -> Role {
        if self.flag(0) { Role::Client } else { Role::Server }
    }

    /// Returns the ways to cut the stream: whole, as the input says, and byte by byte.
    fn cuts(&self) -> [Vec<&'a [u8]>; 3] {
        let whole = if self.stream.is_empty() { Vec::new() } else { vec![self.stream] };
        [whole, self.cut(&self.sizes), self.cut(&[1])]
    }

    fn cut(&self, sizes: &[usize]) -> Vec<&'a [u8]> {
        let mut rest = self.stream;
        let mut sizes = sizes.iter().cycle();
        core::iter::from_fn(|| {
            let (piece, tail) = rest.split_at((*sizes.next()?).min(rest.len()));
            rest = tail;
            (!piece.is_empty()).then_some(piece)
        })
        .collect()
    }
}

/// Runs each way to cut the stream, checks that the outcome is the same for all, and returns it.
#[track_caller]
fn same_for_all_cuts<T: PartialEq + core::fmt::Debug>(
    setup: &Setup<'_>,
    run: impl Fn(&[&[u8]]) -> T,
) -> T {
    let [whole, as_told, bytes] = setup.cuts();
    let outcome = run(&whole);
    assert_eq!(run(&as_told), outcome, "in pieces of {:?}", setup.sizes);
    assert_eq!(run(&bytes), outcome, "byte by byte");
    outcome
}

fn key(role: Role) -> Option<MaskingKey> {
    (role == Role::Client).then_some(MaskingKey::new(KEY))
}
