//! Short messages, which a pooled inflater usually inflates without an engine. Nothing shows this but the time and the memory.

use proptest::prelude::*;
use ws_core::deflate::{DeflateOptions, Deflater, Inflater, Pool, WindowBits};

use crate::engines::*;
use crate::rules::{compressed, text};

/// Checks that these payloads have the same outcome in one piece as byte by byte, and in the other engine.
fn same_outcomes(setup: Setup, payloads: &[Vec<u8>]) -> Vec<Outcome> {
    let whole: Vec<_> = payloads.iter().map(|payload| vec![&payload[..]]).collect();
    let bytes: Vec<Vec<_>> = payloads.iter().map(|payload| payload.chunks(1).collect()).collect();
    let outcomes = inflate(Engine::Pool, setup, &whole);
    assert_eq!(inflate(Engine::Pool, setup, &bytes), outcomes, "byte by byte: {payloads:02x?}");
    for (other, outcome) in inflate(Engine::Slice, setup, &whole).iter().zip(&outcomes) {
        // Only the other engine refuses a distance that is longer than a smaller window.
        if other.1.is_ok() || setup.bits == WindowBits::MAX {
            assert_eq!(other, outcome, "{payloads:02x?}");
        }
    }
    outcomes
}

#[test]
fn every_short_start_of_a_fixed_block_is_judged_as_in_pieces() {
    // The first message can be referred to.
    let first = compressed(b"Hello", 15, 1);
    let mut accepted = 0;
    for second in 0..=255_u8 {
        // A block with the fixed codes begins with these bits, and is not final.
        for start in (0..=255_u8).filter(|start| start & 7 == 0b010) {
            for rest in [&[second][..], &[second, 0]] {
                let payload = [&[start], rest].concat();
                let outcomes = same_outcomes(Setup::new(15), &[first.clone(), payload]);
                accepted += usize::from(outcomes[1].1.is_ok());
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_changed_message_is_judged_as_in_pieces(
        lens in proptest::collection::vec(1..400_usize, 1..6),
        bits in 9..=15_u8,
        takeover in any::<bool>(),
        changed in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
        max_message in prop_oneof![Just(1_u64 << 20), 1..400_u64],
        max_ratio in 0..4_u32,
        room in prop_oneof![Just(1000_usize), 1..400_usize],
    ) {
        let mut setup = Setup { takeover, room, ..Setup::new(bits) };
        setup.limits = setup.limits.max_message(max_message).max_ratio(Some(max_ratio));
        let pool = Pool::new();
        let mut deflater = Deflater::new(&pool, setup.bits, DeflateOptions::new());
        if !takeover {
            deflater = deflater.no_context_takeover();
        }
        let mut payloads: Vec<_> = lens
            .iter()
            .map(|len| {
                let mut payload = Vec::new();
                deflater.compress_piece(&text(*len), true, &mut payload);
                payload
            })
            .collect();
        same_outcomes(setup, &payloads);
        let payload = changed.get_mut(&mut payloads);
        let bit = bit.index(payload.len() * 8);
        payload[bit / 8] ^= 1 << (bit % 8);
        same_outcomes(setup, &payloads);
    }
}

// RFC 7692 §7.2.3.2: a message may refer to each message before it, however that was inflated
#[test]
fn an_engine_learns_what_was_inflated_without_it() {
    let say = |topic: usize, i: usize| format!("{topic} of {i}: {:x} ", (topic + i) * 7919);
    for bits in [12, 15] {
        let setup = Setup::new(bits);
        let (pool, compressing) = (Pool::new(), Pool::new());
        let mut deflater = Deflater::new(&compressing, setup.bits, DeflateOptions::new().level(9));
        let mut inflater = Inflater::new(&pool, setup.bits, setup.limits);
        let mut said = String::new();
        for (topic, short_messages) in [0, 1, 2, 30, 4000, 1, 0].into_iter().enumerate() {
            for i in 0..short_messages {
                said.push_str(&say(topic, i));
                let mut payload = Vec::new();
                deflater.compress_piece(say(topic, i).as_bytes(), true, &mut payload);
                let outcome = next_message(&mut inflater, setup.room, &[payload]);
                assert_eq!(outcome, (say(topic, i).into_bytes(), Ok(())));
            }
            // Too long to go without an engine, this repeats what was said, from both ends of the window.
            let window = setup.bits.size().min(said.len());
            let again = [&said[said.len() - window..], &say(topic, 1_000_000).repeat(300)].concat();
            said.push_str(&again);
            let mut payload = Vec::new();
            deflater.compress_piece(again.as_bytes(), true, &mut payload);
            let outcome = next_message(&mut inflater, setup.room, &[payload]);
            assert!(outcome == (again.into_bytes(), Ok(())), "{bits} {topic} {:?}", outcome.1);
        }
    }
}
