//! What must hold for the payload of any compressed message, and for any message that is compressed.

use ws_core::ProtocolError;
use ws_core::deflate::{DeflateOptions, Deflater, Inflater, Pool, WindowBits};

#[path = "../../ws-core/tests/deflate/engines.rs"]
mod engines;
#[path = "../../ws-core/tests/deflate/strict.rs"]
mod strict;

use engines::{Engine, Outcome, Setup, in_pool, inflate, next_message};
use strict::{NO_END, Strict};

/// The longest messages that a setup can choose. They are short, so that a decompression bomb does not slow the fuzzer
/// down.
const LIMITS: [u64; 4] = [1 << 20, 10, 300, 5000];

/// Checks the outcomes of the other engine. `no_end` is whether the last message has a block without a code for its end: the pool's
/// engine refuses the message before that block, the other one when it needs the code, or at a limit.
fn assert_same(others: &[Outcome], outcomes: &[Outcome], no_end: bool) {
    if others == outcomes {
        return;
    }
    assert!(no_end, "the other engine: {others:?}, not {outcomes:?}");
    let [(other, before), (ours, ours_before)] =
        [others, outcomes].map(|all| all.split_last().expect("a message"));
    assert_eq!(before, ours_before);
    assert_eq!(ours.1, Err(ProtocolError::InvalidDeflate));
    assert!(other.1.is_err() && other.0.starts_with(&ours.0), "{other:?}");
}

/// Inflates the payloads of messages. The input is a setup and the payloads.
///
/// Bits 0 and 1 of the flags choose a limit, and bits 2 to 4 a limit of the ratio. Bit 5 means no context takeover.
/// Bits 6 and 7 are the number of messages that have a byte for their length, which the last one never has. Then follow
/// the sizes of the pieces and of the room for output.
pub(crate) fn inflate_any(data: &[u8]) {
    let Some((&[flags, cut, room], mut rest)) = data.split_first_chunk::<3>() else { return };
    let mut setup = Setup::new(15);
    let ratio = u32::from(flags >> 2 & 7);
    setup.limits = setup.limits.max_message(LIMITS[usize::from(flags & 3)]).max_ratio(Some(ratio));
    setup.takeover = flags & 0x20 == 0;
    setup.room = usize::from(room) + 1;

    let mut messages = Vec::new();
    for _ in 0..flags >> 6 {
        let Some((len, after)) = rest.split_first() else { break };
        let (message, after) = after.split_at(usize::from(*len).min(after.len()));
        messages.push(vec![message]);
        rest = after;
    }
    messages.push(vec![rest]);
    let outcomes = inflate(Engine::Pool, setup, &messages);
    // This decoder is a second opinion on what is valid.
    let mut strict = Strict::new(1 << 15, setup.takeover);
    let opinions: Vec<_> =
        messages.iter().zip(&outcomes).map(|(message, _)| strict.message(message[0])).collect();
    let others = inflate(Engine::Slice, setup, &messages);
    assert_same(&others, &outcomes, opinions.last() == Some(&Err(NO_END)));
    for size in [usize::from(cut) + 1, 1] {
        let messages: Vec<_> = messages.iter().map(|message| pieces(message[0], size)).collect();
        assert_eq!(inflate(Engine::Pool, setup, &messages), outcomes, "in pieces of {size}");
        assert_eq!(inflate(Engine::Slice, setup, &messages), others, "in pieces of {size}");
    }

    // Another connection uses the engine after each message.
    let pool = Pool::with_engines(1.try_into().unwrap());
    let [mut ours, mut other] = [(); 2].map(|()| inflater(&pool, setup));
    for (message, outcome) in messages.iter().zip(&outcomes) {
        assert_eq!(&next_message(&mut ours, setup.room, message), outcome, "a shared engine");
        let _ = next_message(&mut other, setup.room, &[[0x4b, 0x04, 0x00]]);
    }

    // The second opinion knows neither the limits nor which trees are invalid, so it may accept more, never less.
    for (opinion, (bytes, result)) in opinions.iter().zip(&outcomes) {
        match (opinion, result) {
            (Ok(expected), Ok(())) => assert_eq!(bytes, expected),
            (Err(why), Ok(())) => panic!("{why}, but it was accepted as {} bytes", bytes.len()),
            (_, Err(_)) => break,
        }
    }

    // With a smaller window, the engine without an allocator accepts no more than the other engine, and returns the
    // same bytes.
    let small = Setup { bits: WindowBits::new(8 + cut % 7).unwrap(), ..setup };
    let wide = in_pool(&Pool::new(), small, &messages);
    for (narrow, wide) in inflate(Engine::Slice, small, &messages).iter().zip(&wide) {
        if narrow.1.is_ok() {
            assert_eq!(narrow, wide);
        }
    }
    let [mut ours, mut other] = [(); 2].map(|()| inflater(&pool, small));
    for (message, wide) in messages.iter().zip(&wide) {
        let message = pieces(message[0], usize::from(cut) + 1);
        assert_eq!(
            &next_message(&mut ours, small.room, &message),
            wide,
            "a shared engine, in pieces"
        );
        let _ = next_message(&mut other, small.room, &[[0x4b, 0x04, 0x00]]);
    }
}

/// Cuts a payload into fragments, at least one.
fn pieces(payload: &[u8], size: usize) -> Vec<&[u8]> {
    if payload.is_empty() { vec![payload] } else { payload.chunks(size).collect() }
}

/// Compresses messages and inflates them again. The input is settings and messages. A message is two bytes, which are
/// how it is sent and its length, and a part of the input, which is repeated.
pub(crate) fn round_trip(data: &[u8]) {
    let Some((&[bits, levels, cut, room], mut rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let setup = Setup {
        takeover: bits & 8 == 0,
        room: usize::from(room) * 16 + 1,
        ..Setup::new(8 + bits % 8)
    };
    let options = DeflateOptions::new().level(levels % 10).mem_level(1 + levels / 10 % 9);
    let (own, shared) = (Pool::new(), Pool::with_engines(1.try_into().unwrap()));
    let mut hot = deflater(&own, setup, options);
    let mut rebuilt = deflater(&shared, setup, options);
    let mut other = deflater(&shared, setup, options);
    let mut inflaters = [inflater(&own, setup), inflater(&own, setup)];
    let mut stricts = [(); 2].map(|()| Strict::new(setup.bits.size(), setup.takeover));
    let (mut payloads, mut expected) = (Vec::new(), Vec::new());

    while let Some((&[how, len], after)) = rest.split_first_chunk::<2>() {
        let (seed, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let message = seed.repeat(1 + usize::from(how >> 4).pow(2));
        for (i, deflater) in [&mut hot, &mut rebuilt].into_iter().enumerate() {
            let Some(payload) = compress(deflater, how, &message) else { continue };
            assert!(!payload.is_empty());
            assert_eq!(stricts[i].message(&payload).as_ref(), Ok(&message), "a strict decoder");
            let fragments: Vec<_> =
                pieces(&payload, usize::from(cut) + 1).into_iter().map(<[u8]>::to_vec).collect();
            let outcome = next_message(&mut inflaters[i], setup.room, &fragments);
            assert_eq!(outcome, (message.clone(), Ok(())));
            if i == 0 {
                payloads.push(fragments);
                expected.push(outcome);
            }
        }
        compress(&mut other, 0, b"what another connection sends, sends, sends");
    }
    assert_eq!(inflate(Engine::Slice, setup, &payloads), expected);
}

/// Returns the payload, or `None` if the message is sent uncompressed.
fn compress(deflater: &mut Deflater, how: u8, message: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    match usize::from(how & 0x0f) {
        0..8 => {
            let shorter = deflater.compress(message, &mut payload);
            assert!(if shorter { payload.len() < message.len() } else { payload.is_empty() });
            shorter.then_some(payload)
        }
        8 => None,
        most => {
            let size = message.len() / (most - 8) + 1;
            for piece in message.chunks(size) {
                deflater.compress_piece(piece, false, &mut payload);
            }
            deflater.compress_piece(&[], true, &mut payload);
            Some(payload)
        }
    }
}

fn inflater(pool: &Pool, setup: Setup) -> Inflater {
    let inflater = Inflater::new(pool, setup.bits, setup.limits);
    if setup.takeover { inflater } else { inflater.no_context_takeover() }
}

fn deflater(pool: &Pool, setup: Setup, options: DeflateOptions) -> Deflater {
    let deflater = Deflater::new(pool, setup.bits, options);
    if setup.takeover { deflater } else { deflater.no_context_takeover() }
}
