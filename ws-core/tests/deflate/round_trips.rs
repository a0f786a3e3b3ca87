//! Compress, then inflate: the same messages, whatever is set and however they are cut.

use proptest::collection::vec;
use proptest::prelude::*;
use ws_core::deflate::{DeflateOptions, Deflater, Inflater, Pool, WindowBits};

use crate::engines::*;
use crate::rules::{noise, text};
use crate::strict::Strict;

/// How a message is sent.
#[derive(Clone, Debug)]
enum How {
    /// Compressed at once, or raw if that is not shorter.
    Whole,
    /// In up to so many pieces.
    Pieces(usize),
    Raw,
}

fn any_how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Whole),
        2 => (1..20_usize).prop_map(How::Pieces),
        1 => Just(How::Raw),
    ]
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let len = || prop_oneof![0..20_usize, 0..600_usize, 0..6000_usize, 30_000..40_000_usize];
    prop_oneof![
        3 => (len(), any::<u8>()).prop_map(|(len, at)| text(len + usize::from(at)).split_off(at.into())),
        1 => len().prop_map(noise),
        1 => (len(), any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => vec(0..3_u8, 0..300),
    ]
}

fn deflater(pool: &Pool, bits: WindowBits, options: DeflateOptions, takeover: bool) -> Deflater {
    let deflater = Deflater::new(pool, bits, options);
    if takeover { deflater } else { deflater.no_context_takeover() }
}

fn inflater(pool: &Pool, setup: Setup) -> Inflater {
    let inflater = Inflater::new(pool, setup.bits, setup.limits);
    if setup.takeover { inflater } else { inflater.no_context_takeover() }
}

/// The payload, unless the message is sent raw. `between` is called between the pieces.
fn send(
    deflater: &mut Deflater,
    how: &How,
    message: &[u8],
    mut between: impl FnMut(),
) -> Option<Vec<u8>> {
    let mut payload = b"before".to_vec();
    match how {
        How::Raw => return None,
        How::Whole => {
            if !deflater.compress(message, &mut payload) {
                assert_eq!(payload, b"before");
                return None;
            }
            assert!(payload.len() - 6 < message.len());
        }
        How::Pieces(most) => {
            for piece in message.chunks(message.len() / most + 1) {
                deflater.compress_piece(piece, false, &mut payload);
                between();
            }
            // The end comes alone, as it does when a sender learns late that there is no more.
            deflater.compress_piece(&[], true, &mut payload);
        }
    }
    Some(payload.split_off(6))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // RFC 7692 §7.2: the identity; with engines of their own and shared ones; in a decoder that keeps to the window
    #[test]
    fn messages_come_back_as_they_were(
        messages in vec((any_message(), any_how()), 1..8),
        bits in 8..=15_u8,
        level in 0..=9_u8,
        mem_level in 1..=9_u8,
        takeover in any::<bool>(),
        cut in 30..2000_usize,
        room in 30..50_000_usize,
    ) {
        let options = DeflateOptions::new().level(level).mem_level(mem_level);
        let setup = Setup { takeover, room, ..Setup::new(bits) };
        let (own, shared) = (Pool::new(), Pool::with_engines(1.try_into().unwrap()));
        let mut dedicated = deflater(&own, setup.bits, options, takeover);
        let mut rebuilt = deflater(&shared, setup.bits, options, takeover);
        let mut other = deflater(&shared, setup.bits, options, takeover);
        let mut inflaters = [inflater(&own, setup), inflater(&shared, setup), inflater(&shared, setup)];
        let [mut strict, mut strict_too] = [(), ()].map(|()| Strict::new(setup.bits.size(), takeover));
        let mut payloads = Vec::new();
        for (message, how) in &messages {
            if let Some(payload) = send(&mut dedicated, how, message, || {}) {
                let fragments: Vec<_> = payload.chunks(cut).map(<[u8]>::to_vec).collect();
                let expected = (message.clone(), Ok(()));
                for inflater in &mut inflaters {
                    prop_assert_eq!(&next_message(inflater, room, &fragments), &expected);
                }
                prop_assert_eq!(strict.message(&payload), Ok(message.clone()));
                payloads.push((fragments, expected));
            }
            // The other connection takes the engine away in between.
            let mut take = || drop(send(&mut other, &How::Whole, &text(100), || {}));
            take();
            if let Some(payload) = send(&mut rebuilt, how, message, take) {
                prop_assert_eq!(strict_too.message(&payload), Ok(message.clone()));
            }
        }
        let (payloads, expected): (Vec<_>, Vec<_>) = payloads.into_iter().unzip();
        prop_assert_eq!(inflate(Engine::Slice, setup, &payloads), expected);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    // RFC 6455 §10.7: whatever comes, the outcome does not depend on the engine, on how it is cut, nor on who had the
    // engine before
    #[test]
    fn arbitrary_payloads_have_one_outcome(
        payloads in vec(prop_oneof![vec(any::<u8>(), 0..60), vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 0..300)], 1..4),
        valid in vec(any_message(), 0..2),
        cut in 1..100_usize,
        room in 1..100_usize,
        max in prop_oneof![0..50_u64, Just(100_000)],
        ratio in prop_oneof![Just(None), (1..20_u32).prop_map(Some)],
    ) {
        let mut setup = Setup::new(15);
        setup.limits = setup.limits.max_message(max).max_ratio(ratio);
        let mut all = Vec::new();
        let mut sender = Deflater::new(&Pool::new(), setup.bits, DeflateOptions::new());
        for message in &valid {
            let mut payload = Vec::new();
            sender.compress_piece(message, true, &mut payload);
            all.push(vec![payload]);
        }
        all.extend(payloads.into_iter().map(|payload| vec![payload]));
        let expected = inflate(Engine::Pool, setup, &all);
        prop_assert_eq!(&inflate(Engine::Slice, setup, &all), &expected);
        let cut: Vec<Vec<_>> = all
            .iter()
            .map(|message| {
                let cut: Vec<_> = message[0].chunks(cut).map(<[u8]>::to_vec).collect();
                if cut.is_empty() { message.clone() } else { cut }
            })
            .collect();
        let setup = Setup { room, ..setup };
        prop_assert_eq!(&inflate(Engine::Pool, setup, &cut), &expected);
        prop_assert_eq!(&inflate(Engine::Slice, setup, &cut), &expected);

        let pool = Pool::with_engines(1.try_into().unwrap());
        let mut ours = inflater(&pool, setup);
        let mut other = inflater(&pool, Setup::new(15));
        for (message, expected) in cut.iter().zip(&expected) {
            prop_assert_eq!(&next_message(&mut ours, room, message), expected);
            prop_assert_eq!(&next_message(&mut other, room, &[[0x4b, 0x04, 0x00]]).0, b"a");
        }
    }
}

// zlib-rs has no window of 8 bits. That its 9 bits serve for 8 rests on how it works: no distance is longer than 250.
#[test]
fn nine_bits_of_the_engine_keep_to_a_window_of_eight() {
    for level in 0..=9 {
        for mem_level in [1, 8, 9] {
            let options = DeflateOptions::new().level(level).mem_level(mem_level);
            let (own, shared) = (Pool::new(), Pool::with_engines(1.try_into().unwrap()));
            for pool in [own, shared.clone()] {
                let mut ours = deflater(&pool, WindowBits::MIN, options, true);
                let mut other = deflater(&shared, WindowBits::MIN, options, true);
                let mut strict = Strict::new(256, true);
                for i in 0..30 {
                    let message = [text(20 * i), noise(i), text(300)].concat();
                    let mut payload = Vec::new();
                    ours.compress_piece(&message, true, &mut payload);
                    assert_eq!(strict.message(&payload), Ok(message));
                    other.compress_piece(b"other", true, &mut Vec::new());
                }
                assert!(strict.farthest <= 250, "{}", strict.farthest);
                assert!(level == 0 || strict.farthest > 200, "it is used: {}", strict.farthest);
            }
        }
    }
}

#[test]
fn a_message_that_is_not_shorter_is_left_out_of_the_history() {
    let pool = Pool::new();
    for bits in 8..=15 {
        let bits = WindowBits::new(bits).unwrap();
        let mut deflater = Deflater::new(&pool, bits, DeflateOptions::new());
        let mut inflater = Inflater::new(&pool, bits, Setup::new(15).limits);
        let mut last = usize::MAX;
        for round in 0..5 {
            for message in [&b""[..], b"a", b"abc", &noise(1), &noise(100), &noise(5000)] {
                let mut payload = b"before".to_vec();
                assert!(!deflater.compress(message, &mut payload));
                assert_eq!(payload, b"before");
            }
            let mut payload = Vec::new();
            assert!(deflater.compress(&text(200), &mut payload));
            assert_eq!(next_message(&mut inflater, 1000, &[&payload]), (text(200), Ok(())));
            assert!(round == 0 || payload.len() <= last && payload.len() < 30, "{}", payload.len());
            last = payload.len();
        }
    }
}

// `reset` of zlib-rs 0.6.8 keeps a part of the state of an engine whose output was not taken
#[test]
fn an_engine_whose_message_was_not_shorter_serves_the_next_one() {
    for level in 0..=9 {
        for mem_level in 1..=9 {
            let options = DeflateOptions::new().level(level).mem_level(mem_level);
            let pool = Pool::with_engines(1.try_into().unwrap());
            let mut deflater = deflater(&pool, WindowBits::MAX, options, true);
            let mut strict = Strict::new(1 << 15, true);
            for len in [10, 300, 1000, 5000, 20_000] {
                assert!(!deflater.compress(&noise(len), &mut Vec::new()));
                let mut payload = Vec::new();
                deflater.compress_piece(&text(len), true, &mut payload);
                assert_eq!(strict.message(&payload), Ok(text(len)), "{level} {mem_level} {len}");
            }
        }
    }
}

#[test]
fn an_empty_message_in_pieces_is_one_byte() {
    for takeover in [true, false] {
        let mut deflater = deflater(&Pool::new(), WindowBits::MAX, DeflateOptions::new(), takeover);
        for _ in 0..3 {
            let mut payload = Vec::new();
            deflater.compress_piece(&[], false, &mut payload);
            assert_eq!(payload, []);
            deflater.compress_piece(&[], true, &mut payload);
            assert_eq!(payload, [0x00]);
            deflater.compress(&text(100), &mut payload);
        }
    }
}
