//! The rules of compressed messages (RFC 7692 §7.2), for both engines.

use ws_core::ProtocolError::{InvalidDeflate, MessageTooLarge};
use ws_core::deflate::{DeflateOptions, Deflater, Inflater, Limits, Pool, WindowBits};

use crate::engines::*;

fn messages<P: AsRef<[u8]> + Clone>(payloads: &[P]) -> Vec<Vec<P>> {
    payloads.iter().map(|payload| vec![payload.clone()]).collect()
}

/// Every way to cut a payload into two fragments, and byte by byte.
fn cuts(payload: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut cuts: Vec<_> =
        (0..=payload.len()).map(|at| vec![&payload[..at], &payload[at..]]).collect();
    cuts.push(payload.chunks(1).collect());
    cuts
}

/// Both engines, all windows, with room for one byte at a time and for all: the same outcome.
#[track_caller]
fn same(payload: &[u8], expected: &Outcome) {
    for engine in ENGINES {
        for bits in [8, 12, 15] {
            for room in [1, 1000] {
                let setup = Setup { room, ..Setup::new(bits) };
                assert_eq!(&whole(engine, setup, payload), expected, "{engine:?} {bits} {room}");
                for cut in cuts(payload).into_iter().filter(|cut| !cut.is_empty()) {
                    let outcome = inflate(engine, setup, &[cut]).remove(0);
                    assert_eq!(&outcome, expected, "{engine:?} {bits} {room} in pieces");
                }
            }
        }
    }
}

// RFC 7692 §7.2.3.1: A Message Compressed Using One Compressed DEFLATE Block
#[test]
fn one_compressed_block() {
    same(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &(b"Hello".to_vec(), Ok(())));
}

// RFC 7692 §7.2.3.2: Sharing LZ77 Sliding Window
#[test]
fn the_window_is_shared() {
    let payloads =
        [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]];
    for engine in ENGINES {
        for bits in 8..=15 {
            let hello = (b"Hello".to_vec(), Ok(()));
            let outcomes = inflate(engine, Setup::new(bits), &messages(&payloads));
            assert_eq!(outcomes, [hello.clone(), hello.clone()], "{engine:?} {bits}");

            // Without context takeover the second message reaches back to nothing.
            let setup = Setup { takeover: false, ..Setup::new(bits) };
            let outcomes = inflate(engine, setup, &messages(&payloads));
            assert_eq!(outcomes, [hello, (b"H".to_vec(), Err(InvalidDeflate))]);
        }
    }
}

// RFC 7692 §7.2.3.3: Using a DEFLATE Block with No Compression
#[test]
fn a_block_without_compression() {
    let payload = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    same(&payload, &(b"Hello".to_vec(), Ok(())));
}

// RFC 7692 §7.2.3.4: Using a DEFLATE Block with "BFINAL" Set to 1
#[test]
fn a_final_block() {
    same(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], &(b"Hello".to_vec(), Ok(())));
    // Also without the empty block after it, and if that block is the final one.
    same(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &(b"Hello".to_vec(), Ok(())));
    same(&[0x01], &(vec![], Ok(())));
}

// RFC 7692 §7.2.3.5: Two DEFLATE Blocks in One Message
#[test]
fn two_blocks() {
    let payload = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    same(&payload, &(b"Hello".to_vec(), Ok(())));
}

// RFC 7692 §7.2.3.6: Generating an Empty Fragment
#[test]
fn an_empty_message() {
    same(&[0x00], &(vec![], Ok(())));
    same(&[0x02, 0x00], &(vec![], Ok(())));
    // Senders whose library gives nothing for nothing send this.
    same(&[], &(vec![], Ok(())));
}

// RFC 7692 §7.2.2: the window goes on after a final block, in a message and to the next
#[test]
fn a_final_block_keeps_the_window() {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let both = [&hello[..], &again].concat();
    same(&both, &(b"HelloHello".to_vec(), Ok(())));
    for engine in ENGINES {
        for bits in 8..=15 {
            for end in [&[][..], &[0x00]] {
                let first = [&hello[..], end].concat();
                let payloads = messages(&[&first[..], &again, &again, &both, &again]);
                let outcomes = inflate(engine, Setup::new(bits), &payloads);
                let hello = (b"Hello".to_vec(), Ok(()));
                let twice = (b"HelloHello".to_vec(), Ok(()));
                assert_eq!(outcomes, [hello.clone(), hello.clone(), hello.clone(), twice, hello]);
            }
        }
    }
}

// RFC 7692 §7.2.2: the four bytes can be the end of a final block, too
#[test]
fn the_removed_bytes_end_a_final_block() {
    // Bit 2 of the last byte is BFINAL of the empty block.
    let last = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x04];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    same(&last, &(b"Hello".to_vec(), Ok(())));
    for engine in ENGINES {
        for bits in 8..=15 {
            let payloads = messages(&[&last[..], &again, &last, &again]);
            let outcomes = inflate(engine, Setup::new(bits), &payloads);
            assert_eq!(outcomes, vec![(b"Hello".to_vec(), Ok(())); 4], "{engine:?} {bits}");
        }
    }
}

// RFC 7692 §7.2.2: what is cut short is not a message
#[test]
fn a_truncated_message_is_invalid_at_every_byte() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let fixed = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let dynamic = compressed(&text(3000), 15, 9);
    for payload in [&stored[..], &fixed, &dynamic] {
        // One byte of the first is an empty message.
        for len in 2..payload.len() {
            let outcomes = ENGINES.map(|engine| whole(engine, Setup::new(15), &payload[..len]));
            assert_eq!(outcomes[0], outcomes[1], "{len}");
            assert_eq!(outcomes[0].1, Err(InvalidDeflate), "{len}");
        }
    }
}

// RFC 7692 §7.2.2: bytes that were not removed from the end leave a block open
#[test]
fn a_tail_that_was_not_removed_is_invalid() {
    let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff];
    same(&payload, &(b"Hello".to_vec(), Err(InvalidDeflate)));
}

// RFC 1951 §3.2: what is no DEFLATE is told after the bytes before it
#[test]
fn invalid_data() {
    let after_hello = |rest: &[u8]| {
        [&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f], rest].concat()
    };
    let cases: [(&str, &[u8]); 5] = [
        ("a block of the reserved type", &[0x06]),
        ("lengths that do not agree", &[0x00, 0x05, 0x00, 0xfa, 0xfe]),
        ("the reserved symbol 286", &[0x1a, 0x03, 0x00]),
        ("a distance of 6 bytes after 5", &[0x02, 0x91, 0x00, 0x00]),
        ("a tree that is no code", &[0x04, 0x00, 0xfe, 0xff, 0xff]),
    ];
    for (name, rest) in cases {
        println!("{name}");
        same(&after_hello(rest), &(b"Hello".to_vec(), Err(InvalidDeflate)));
    }
}

// RFC 1951 §3.2.5: the longest distance is 32,768
#[test]
fn a_distance_of_a_whole_window_is_valid_and_one_before_the_start_is_not() {
    let stored = |len: usize| {
        let mut block = vec![0x00];
        block.extend((len as u16).to_le_bytes());
        block.extend((!(len as u16)).to_le_bytes());
        block.extend(text(len));
        block
    };
    // With fixed codes: 3 bytes at that distance, the end of the block, and the header of the empty one.
    let block = |distance: u32| {
        let extra = Field(distance - 24_577, 13);
        bits(&[Field(0b010, 3), Code(1, 7), Code(29, 5), extra, Code(0, 7), Field(0, 3)])
    };
    for engine in ENGINES {
        for (before, distance) in [(32_767, 32_767), (32_768, 32_768), (40_000, 32_768)] {
            let plain = text(before);
            let again = &plain[before - distance..][..3];
            let payload = [stored(before), block(distance as u32)].concat();
            let expected = ([&plain, again].concat(), Ok(()));
            assert_eq!(whole(engine, Setup::new(15), &payload), expected, "{engine:?}");

            let setup = Setup::new(15);
            let apart = [&[stored(before), vec![0]].concat()[..], &block(distance as u32)];
            let expected = [(plain.clone(), Ok(())), (again.to_vec(), Ok(()))];
            assert_eq!(inflate(engine, setup, &messages(&apart)), expected, "{engine:?}");
        }
        let payload = [stored(32_767), block(32_768)].concat();
        let expected = (text(32_767), Err(InvalidDeflate));
        assert_eq!(whole(engine, Setup::new(15), &payload), expected, "{engine:?}");
    }
}

// RFC 7692 §7.2.2: the four bytes are the end of a block without compression. Here they complete the header of a
// block with dynamic codes, whose end leaves three bits.
#[test]
fn bits_that_are_left_over_are_no_end_of_a_message() {
    let empty = [Field(0b010, 3), Code(0, 7)];
    let mut fields = [empty, empty, empty].concat();
    // 257 codes of literals and 1 of distances, whose lengths have the codes 18: 0, 2: 10, 3: 110, 0: 1110, 1: 1111.
    fields.extend([Field(0b100, 3), Field(0, 5), Field(0, 5), Field(15, 4)]);
    for len in [0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 2, 0, 4, 0] {
        fields.push(Field(len, 3));
    }
    // 138 and 95 zeros; of the four bytes come 22, then three times length 1, and the end of the block.
    fields.extend([Code(0, 1), Field(127, 7), Code(0, 1), Field(84, 7)]);
    let payload = bits(&fields);
    assert_eq!(payload.len(), 15);
    same(&payload, &(vec![], Err(InvalidDeflate)));
}

/// A part of a stream of DEFLATE, with how many bits it has (RFC 1951 §3.1.1).
#[derive(Clone, Copy)]
enum Part {
    /// A number, from its lowest bit.
    Field(u32, u8),
    /// A Huffman code, from its highest bit.
    Code(u32, u8),
}
use Part::{Code, Field};

fn bits(parts: &[Part]) -> Vec<u8> {
    let mut bits = Vec::new();
    for part in parts {
        match *part {
            Field(value, len) => bits.extend((0..len).map(|i| value >> i & 1)),
            Code(value, len) => bits.extend((0..len).rev().map(|i| value >> i & 1)),
        }
    }
    let byte = |bits: &[u32]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8);
    bits.chunks(8).map(byte).collect()
}

// RFC 6455 §10.4: the limit holds while a message is inflated
#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = compressed(&vec![0; 1 << 20], 15, 9);
    let limit = Limits::new().max_message(100_000);
    for engine in ENGINES {
        for room in [1, 100_000, 1 << 21] {
            let setup = Setup { limits: limit, room, ..Setup::new(15) };
            let expected = (vec![0; 100_000], Err(MessageTooLarge));
            assert_eq!(whole(engine, setup, &zeros), expected);
            let bytes: Vec<_> = zeros.chunks(1).collect();
            assert_eq!(inflate(engine, setup, &[bytes]), [expected]);
        }
    }
}

// A final block costs work that no byte of the message shows: it counts all the same
#[test]
fn final_blocks_count_before_the_limits() {
    let final_blocks = |count| [3, 0].repeat(count);
    for engine in ENGINES {
        for limits in [Limits::new().max_message(1000), Limits::new().max_ratio(Some(64))] {
            let setup = Setup { limits, ..Setup::new(15) };
            assert_eq!(whole(engine, setup, &final_blocks(64)), (vec![], Ok(())));
            let expected = (vec![], Err(MessageTooLarge));
            assert_eq!(whole(engine, setup, &final_blocks(65)), expected);
            let many = final_blocks(100_000);
            assert_eq!(inflate(engine, setup, &[many.chunks(1).collect()]), [expected]);
        }
        let setup = Setup { limits: Limits::new().max_message(100 << 10), ..Setup::new(15) };
        assert_eq!(whole(engine, setup, &final_blocks(100)), (vec![], Ok(())));
        assert_eq!(whole(engine, setup, &final_blocks(101)), (vec![], Err(MessageTooLarge)));
    }
}

#[test]
fn a_message_as_long_as_the_limit_is_allowed() {
    for len in [0, 1, 5, 300, 4096, 100_000] {
        for plain in [vec![7; len], text(len)] {
            let payload = compressed(&plain, 15, 6);
            for engine in ENGINES {
                for room in [1, len + 1, 1 << 20] {
                    let setup = |max: usize| Setup {
                        limits: Limits::new().max_message(max as u64),
                        room,
                        ..Setup::new(15)
                    };
                    assert_eq!(whole(engine, setup(len), &payload), (plain.clone(), Ok(())));
                    if let Some(max) = len.checked_sub(1) {
                        let expected = (plain[..max].to_vec(), Err(MessageTooLarge));
                        assert_eq!(whole(engine, setup(max), &payload), expected);
                    }
                }
            }
        }
    }
}

#[test]
fn the_limit_of_the_ratio_counts_whole_kib_of_the_payload() {
    let zeros = compressed(&vec![0; 4 << 20], 15, 9);
    let noise = compressed(&noise(100_000), 15, 1);
    assert!(zeros.len() > 4000);
    for ratio in [1, 10, 100, 1000] {
        let limits = Limits::new().max_ratio(Some(ratio));
        for engine in ENGINES {
            for room in [1000, 1 << 22] {
                let setup = Setup { limits, room, ..Setup::new(15) };
                let expected = (vec![0; ratio as usize * 1024], Err(MessageTooLarge));
                assert_eq!(whole(engine, setup, &zeros), expected, "{engine:?} {ratio}");
                for size in [1, 7, 1000, 1024, 3000] {
                    let cut: Vec<_> = zeros.chunks(size).collect();
                    assert_eq!(inflate(engine, setup, &[cut])[0], expected, "{size}");
                }
                assert_eq!(whole(engine, setup, &noise).1, Ok(()));
            }
        }
    }
}

#[test]
fn a_bit_that_is_flipped_ends_both_engines_alike() {
    for payload in [compressed(&text(700), 15, 9), compressed(&text(100), 15, 1)] {
        for bit in 0..payload.len() * 8 {
            let mut payload = payload.clone();
            payload[bit / 8] ^= 1 << (bit % 8);
            let limits = Limits::new().max_message(10_000);
            let setup = Setup { limits, ..Setup::new(15) };
            let outcomes = ENGINES.map(|engine| whole(engine, setup, &payload));
            assert_eq!(outcomes[0], outcomes[1], "{bit}");
        }
    }
}

#[test]
fn an_engine_that_others_have_used_leaves_nothing_behind() {
    let pool = Pool::with_engines(1.try_into().unwrap());
    let bits = WindowBits::MAX;
    let setup = Setup::new(15);
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let broken: [&[u8]; 3] =
        [&[0x00, 0x05, 0x00], &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0xff], &[0x07]];
    for broken in broken {
        let mut other = Inflater::new(&pool, bits, Limits::new());
        assert_eq!(next_message(&mut other, 10, &[broken]).1, Err(InvalidDeflate));
        let mut ours = Inflater::new(&pool, bits, Limits::new());
        // There is no "Hello" to refer to, whatever the engine has seen.
        assert_eq!(next_message(&mut ours, 10, &[again]), (b"H".to_vec(), Err(InvalidDeflate)));
        // A final block takes an engine.
        let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(in_pool(&pool, setup, &[vec![hello]]), [(b"Hello".to_vec(), Ok(()))]);
    }
}

// RFC 7692 §7.2.3.4: a final block in the middle of a message forgets nothing, wherever the message is cut
#[test]
fn a_final_block_keeps_the_window_of_its_own_message() {
    let both = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00];
    for engine in ENGINES {
        for takeover in [false, true] {
            let setup = Setup { takeover, ..Setup::new(15) };
            for cut in 1..=both.len() {
                let pieces: Vec<_> = both.chunks(cut).collect();
                let outcomes = inflate(engine, setup, &[pieces.clone(), pieces]);
                assert_eq!(outcomes, vec![(b"HelloHello".to_vec(), Ok(())); 2], "{engine:?} {cut}");
            }
        }
    }
}

// RFC 7692 §7.1: a distance goes back to what the peer may refer to and no further, whoever has had the engine before
#[test]
fn the_message_before_is_out_of_reach_if_it_was_longer_than_the_window_or_without_takeover() {
    // The default level writes the fixed codes. Such a payload of up to 512 bytes takes no engine, unless it arrives in parts.
    for (plain, short) in [(text(700), true), (noise(1000), false)] {
        for second in [plain.clone(), [&plain[..], &noise(2000)[1000..]].concat()] {
            let mut sender = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new());
            let [first, second] = [&plain, &second].map(|message| {
                let mut payload = Vec::new();
                sender.compress_piece(message, true, &mut payload);
                payload
            });
            assert_eq!(first.len() <= 512, short);
            for (bits, takeover) in [(9, true), (15, false)] {
                for (shared, parts) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
                    let pool = Pool::with_engines(1.try_into().unwrap());
                    let bits = WindowBits::new(bits).unwrap();
                    let mut ours = Inflater::new(&pool, bits, Limits::new());
                    if !takeover {
                        ours = ours.no_context_takeover();
                    }
                    let in_parts: Vec<_> = first.chunks(first.len().div_ceil(parts)).collect();
                    let outcome = next_message(&mut ours, 5000, &in_parts);
                    assert_eq!(outcome, (plain.clone(), Ok(())));
                    if shared {
                        let mut other = Inflater::new(&pool, bits, Limits::new());
                        let outcome = next_message(&mut other, 5000, &[&first[..1], &first[1..]]);
                        assert_eq!(outcome.1, Ok(()));
                    }
                    let outcome = next_message(&mut ours, 5000, &[&second]);
                    assert_eq!(
                        outcome.1,
                        Err(InvalidDeflate),
                        "{bits:?} {takeover} {shared} {parts}"
                    );
                    // The error stays, also for a message that is valid.
                    assert_eq!(next_message(&mut ours, 5000, &[&first]).1, Err(InvalidDeflate));
                }
            }
        }
    }
}

/// A message's payload, which need not be shorter.
pub(crate) fn compressed(plain: &[u8], bits: u8, level: u8) -> Vec<u8> {
    let bits = WindowBits::new(bits).unwrap();
    let mut deflater = Deflater::new(&Pool::new(), bits, DeflateOptions::new().level(level));
    let mut payload = Vec::new();
    deflater.compress_piece(plain, true, &mut payload);
    payload
}

/// Something like text.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let words = ["price", "volume", "\":\"", "{\"", "bid", "ask", "time", ","];
    let mut noise = noise(len).into_iter();
    let mut text = Vec::new();
    while text.len() < len {
        let n = noise.next().unwrap();
        text.extend_from_slice(words[usize::from(n) % words.len()].as_bytes());
        text.extend_from_slice(n.to_string().as_bytes());
    }
    text.truncate(len);
    text
}

/// Bytes that cannot be compressed.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}
