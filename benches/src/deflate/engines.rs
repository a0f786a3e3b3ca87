//! Engines that take and return payloads: zlib-rs used directly, and ours.

use std::num::NonZeroUsize;

use bytes::Bytes;
use ws_core::deflate::{self, DeflateOptions, Deflater, Limits, Need, Pool, WindowBits};
use zlib_rs::InflateFlush;

use super::messages::{TAIL, compress, deflate, room};
use super::{BITS, Deflate, Inflate, Wire};

/// Larger than the longest message.
const ROOM: usize = 16 * 1024 + 1;

/// The floor: one call of zlib-rs for each message, with the same engine and the same output. Only the result of that
/// call is checked.
pub struct Direct {
    deflate: zlib_rs::Deflate,
    inflate: zlib_rs::Inflate,
    output: Vec<u8>,
}

impl Direct {
    fn new() -> Self {
        let inflate = zlib_rs::Inflate::new(false, 15);
        Self { deflate: deflate(1), inflate, output: vec![0; ROOM] }
    }
}

impl Deflate for Direct {
    const NAME: &'static str = "zlib-rs";

    fn new() -> Self {
        Direct::new()
    }

    fn deflate(&mut self, messages: &[Bytes], mut sent: impl FnMut(&[u8], bool)) {
        for message in messages {
            self.output.resize(room(message), 0);
            let len = compress(&mut self.deflate, message, &mut self.output);
            sent(&self.output[..len - TAIL.len()], true);
        }
    }
}

impl Inflate for Direct {
    const NAME: &'static str = "zlib-rs";

    fn new() -> Self {
        Direct::new()
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        for payload in wire.payloads_with_tail() {
            let before = self.inflate.total_out();
            self.inflate
                .decompress(payload, &mut self.output, InflateFlush::SyncFlush)
                .expect("valid");
            let len = (self.inflate.total_out() - before) as usize;
            message(&self.output[..len]);
        }
    }
}

/// zlib-rs with a further call for each message, which checks that the message ends with a block, as ours does.
pub struct Checked(Direct);

impl Inflate for Checked {
    const NAME: &'static str = "zlib-rs/checked";

    fn new() -> Self {
        Self(Direct::new())
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        let Direct { inflate, output, .. } = &mut self.0;
        for payload in wire.payloads_with_tail() {
            let (mut rest, mut len, mut last) = (&payload[..], 0, (0, 0));
            while !rest.is_empty() {
                let before = (inflate.total_in(), inflate.total_out());
                // With `Block` the engine stops at the end of each block.
                inflate.decompress(rest, &mut output[len..], InflateFlush::Block).expect("valid");
                last = (inflate.total_in() - before.0, inflate.total_out() - before.1);
                rest = &rest[last.0 as usize..];
                len += last.1 as usize;
            }
            assert!(matches!(last, (4 | 5, 0)), "the last block is the empty one");
            message(&output[..len]);
        }
    }
}

/// `ws_core::deflate::Deflater` with its own pool, so that it always has the engine that it used last.
pub struct HotDeflater {
    deflater: Deflater,
    output: Vec<u8>,
}

impl Deflate for HotDeflater {
    const NAME: &'static str = "ws-core/deflater";

    fn new() -> Self {
        let deflater = Deflater::new(&Pool::new(), BITS, DeflateOptions::new());
        Self { deflater, output: Vec::new() }
    }

    fn deflate(&mut self, messages: &[Bytes], mut sent: impl FnMut(&[u8], bool)) {
        for message in messages {
            self.output.clear();
            let shorter = self.deflater.compress(message, &mut self.output);
            sent(if shorter { &self.output } else { message }, shorter);
        }
    }
}

/// Two `Deflater`s with a pool of one engine, so that each message begins with setting up the history.
pub struct SharedDeflaters {
    deflaters: [Deflater; 2],
    output: Vec<u8>,
}

impl Deflate for SharedDeflaters {
    const NAME: &'static str = "ws-core/deflater-shared";
    const CONNECTIONS: usize = 2;

    fn new() -> Self {
        let pool = Pool::with_engines(NonZeroUsize::MIN);
        let deflaters = [(); 2].map(|()| Deflater::new(&pool, BITS, DeflateOptions::new()));
        Self { deflaters, output: Vec::new() }
    }

    fn deflate(&mut self, messages: &[Bytes], mut sent: impl FnMut(&[u8], bool)) {
        for message in messages {
            for (at, deflater) in self.deflaters.iter_mut().enumerate() {
                self.output.clear();
                let shorter = deflater.compress(message, &mut self.output);
                if at == 0 {
                    sent(if shorter { &self.output } else { message }, shorter);
                }
            }
        }
    }
}

/// `ws_core::deflate::Inflater` with its own pool. With a window of 15 bits the engine continues from its last state. With
/// fewer bits, each message begins with setting up the history.
pub struct Inflater<const BITS: u8> {
    inflater: deflate::Inflater,
    output: Vec<u8>,
}

impl<const BITS: u8> Inflate for Inflater<BITS> {
    const NAME: &'static str =
        if BITS == 15 { "ws-core/inflater" } else { "ws-core/inflater-12-bits" };

    fn new() -> Self {
        let bits = WindowBits::new(BITS).expect("8 to 15");
        let inflater = deflate::Inflater::new(&Pool::new(), bits, Limits::new());
        Self { inflater, output: vec![0; ROOM] }
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        for payload in wire.payloads() {
            let done = self.inflater.inflate(payload, true, &mut self.output).expect("valid");
            assert_eq!(done.need, Need::Nothing);
            message(&self.output[..done.produced]);
        }
    }
}
