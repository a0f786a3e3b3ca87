//! Messages that an endpoint cuts into fragments while its output drains: RFC 6455 §5.4.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::*;
use ws_core::endpoint::{Next, Options, Output};
use ws_core::message::MessageRef;
use ws_core::{
    CloseCode, Config, Endpoint, Message, MessageKind, PreparedMessage, ProtocolError, Role,
    SendError,
};

/// An endpoint that sends at most four bytes in a frame.
fn by_four(role: Role) -> Endpoint {
    open(role, Config::new().max_outgoing_frame(4))
}

/// A frame as [`plain`] gives it.
fn frame(first: u8, payload: &[u8]) -> (u8, Vec<u8>) {
    (first, payload.to_vec())
}

/// Writes the next frame alone.
fn take_frame(endpoint: &mut Endpoint, at: u32) -> Vec<u8> {
    let Answer::Write(output, ..) = next_write(endpoint, at) else { return Vec::new() };
    assert_eq!(write(endpoint, at, usize::MAX), output.len());
    output
}

// RFC 6455 §5.4, §5.5: a peer's Ping is answered before the rest of a long message.
#[test]
fn control_frames_go_between_the_fragments_of_a_message() {
    for role in ROLES {
        let mut endpoint = by_four(role);
        endpoint.outbound.queue("aaaabbbbccccd").unwrap();
        let mut wire = Vec::new();
        // Within the first.
        let Answer::Write(output, ..) = next(&mut endpoint, 0) else { panic!("output") };
        wire.extend_from_slice(&output[..3]);
        write(&mut endpoint, 0, 3);
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, b"1")), [ping(b"1")]);
        wire.extend(take_frame(&mut endpoint, 0));
        // Behind the second.
        wire.extend(take_frame(&mut endpoint, 0));
        endpoint.outbound.ping(b"2").unwrap();
        endpoint.outbound.pong(b"3").unwrap();
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, b"4")), [ping(b"4")]);
        wire.extend(take(&mut endpoint));
        let expected = [
            frame(TEXT, b"aaaa"),
            frame(FIN | PONG, b"1"),
            frame(CONT, b"bbbb"),
            // What was begun when they came goes first, here nothing.
            frame(FIN | PING, b"2"),
            frame(FIN | PONG, b"3"),
            frame(FIN | PONG, b"4"),
            frame(CONT, b"cccc"),
            frame(FIN | CONT, b"d"),
        ];
        let found = plain(&wire);
        assert_eq!(found, expected, "{role:?}");
    }
}

#[test]
fn the_keepalive_ping_goes_between_the_fragments_of_a_message() {
    let config =
        Config::new().max_outgoing_frame(4).ping_interval(Some(Duration::from_millis(100)));
    for role in ROLES {
        let mut endpoint = open(role, config);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
        endpoint.outbound.queue("aaaabbbb").unwrap();
        let first = by(role, TEXT, b"aaaa");
        let waits = Answer::Write(first.clone(), true, Some(100));
        assert_eq!(next(&mut endpoint, 99), waits);
        let both = [first, by(role, FIN | PING, b"")].concat();
        let last = by(role, FIN | CONT, b"bbbb");
        let expected = [
            Answer::Write(both, true, Some(20_100)),
            Answer::Write(last, true, Some(20_100)),
            Answer::Wait(true, Some(20_100)),
        ];
        assert_eq!(run(&mut endpoint, 100), expected);
    }
}

// RFC 6455 §5.6: each fragment is text of its own where the limit has room for any character.
#[test]
fn text_is_cut_between_characters() {
    let text = "aκ€\u{10348}b\u{10348}\u{10348}€€κκabc€".repeat(3);
    for role in ROLES {
        for max in 1..=20 {
            let mut endpoint = open(role, Config::new().max_outgoing_frame(max));
            let max = max as usize;
            for way in 0..3 {
                let out = &mut endpoint.outbound;
                match way {
                    0 => out.queue(&text).unwrap(),
                    1 => out.queue_ref(&text).unwrap(),
                    _ => out.queue_prepared(&PreparedMessage::new(&Message::from(&text))).unwrap(),
                }
                let parts = plain(&take(&mut endpoint));
                let (last, others) = parts.split_last().unwrap();
                for (_, part) in others {
                    assert!(part.len() <= max, "{max}");
                    if max >= 4 {
                        assert!(core::str::from_utf8(part).is_ok(), "{max}: {part:02x?}");
                        assert!(part.len() > max - 4, "no shorter than it has to be");
                    } else {
                        assert_eq!(part.len(), max);
                    }
                }
                let (first, rest) = parts.split_first().unwrap();
                assert_eq!((first.0, last.0), (TEXT, FIN | CONT));
                assert!(rest.iter().rev().skip(1).all(|(first, _)| *first == CONT));
                let whole: Vec<u8> = parts.iter().flat_map(|(_, part)| part.clone()).collect();
                assert_eq!(whole, text.as_bytes());
            }
            // Binary messages have no characters.
            endpoint.outbound.queue(text.as_bytes()).unwrap();
            let parts = plain(&take(&mut endpoint));
            let cut: Vec<_> = text.as_bytes().chunks(max).map(<[u8]>::to_vec).collect();
            assert_eq!(parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>(), cut);
        }
    }
}

// A piece of the application's may end inside a character: it is cut before that.
#[test]
fn a_piece_of_text_is_cut_between_characters() {
    let mut server = by_four(Role::Server);
    let text = "κκκκκ".as_bytes();
    server.outbound.queue_fragment(MessageKind::Text, &text[..7], false).unwrap();
    server.outbound.queue_fragment(MessageKind::Text, &text[7..], true).unwrap();
    let parts: Vec<_> = plain(&take(&mut server)).into_iter().map(|(_, part)| part).collect();
    assert_eq!(parts, [&text[..4], &text[4..6], &text[6..]].map(<[u8]>::to_vec));
}

// RFC 6455 §5.5.1: nothing follows a Close frame, and what was sent before it goes first.
#[test]
fn the_own_close_follows_the_message() {
    for role in ROLES {
        let mut endpoint = by_four(role);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, None)]);
        endpoint.outbound.queue("aaaabbbb").unwrap();
        endpoint.outbound.queue("c").unwrap();
        endpoint.outbound.start_close(CloseCode::new(4000), "bye").unwrap();
        assert!(!endpoint.outbound.is_open());
        assert_eq!(endpoint.outbound.queue("late").unwrap_err().error, SendError::Closing);
        assert_eq!(endpoint.outbound.ping(b""), Err(SendError::Closing));
        assert_eq!(endpoint.outbound.start_close(None, ""), Err(SendError::Closing));
        // The time for closing runs from here.
        let first = by(role, TEXT, b"aaaa");
        assert_eq!(next(&mut endpoint, 10), Answer::Write(first.clone(), true, Some(5_010)));
        let mut wire = take_frame(&mut endpoint, 10);
        assert_eq!(feed_at(&mut endpoint, 10, &to(role, FIN | PING, b"p")), [ping(b"p")]);
        for answer in run(&mut endpoint, 10) {
            match answer {
                Answer::Write(output, true, Some(5_010)) => wire.extend(output),
                other => assert_eq!(other, Answer::Wait(true, Some(5_010))),
            }
        }
        let mut expected = vec![
            frame(TEXT, b"aaaa"),
            frame(FIN | CONT, b"bbbb"),
            frame(FIN | PONG, b"p"),
            frame(FIN | TEXT, b"c"),
            frame(FIN | CLOSE, &close_body(4000, "bye")),
        ];
        let found = plain(&wire);
        if found[1].0 == FIN | PONG {
            expected.swap(1, 2);
        }
        assert_eq!(found, expected);
        let answer = feed_at(&mut endpoint, 10, &to(role, FIN | CLOSE, &close_body(4000, "")));
        assert_eq!(answer, [closed_by_us(4000, "")]);
        assert_eq!(endpoint.close_info(), info(CloseCode::new(4000), "", true, true, Some(4000)));
    }
}

// RFC 6455 §5.5.1: a peer that closes gets the frame that has begun, and no more of the message.
#[test]
fn the_end_of_the_peer_cuts_a_message_short() {
    for role in ROLES {
        let close = to(role, FIN | CLOSE, &close_body(1001, ""));
        let ends = [
            (close, closed(1001, ""), CloseCode::GOING_AWAY),
            (
                to(role, FIN | 0x3, b""),
                failed(ProtocolError::ReservedOpcode(3)),
                CloseCode::PROTOCOL_ERROR,
            ),
        ];
        for (bytes, told, code) in ends {
            for own_close in [false, true] {
                let mut endpoint = by_four(role);
                assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, None)]);
                endpoint.outbound.queue("aaaabbbbcccc").unwrap();
                endpoint.outbound.queue("another").unwrap();
                if own_close {
                    endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
                }
                let first = by(role, TEXT, b"aaaa");
                assert_eq!(write(&mut endpoint, 0, 3), 3);
                let left = first.len() - 3;
                assert_eq!(endpoint.inbound.receive(&bytes), bytes.len());
                assert_eq!(seen(&mut endpoint), std::slice::from_ref(&told));
                let end = match told {
                    ends::Seen::Failed(_) => close_for(role, ProtocolError::ReservedOpcode(3)),
                    _ => close_by(role, code),
                };
                assert_eq!(endpoint.outbound.waiting(), left + end.len());
                let wire = Answer::Write([&first[3..], &end].concat(), true, Some(5_000));
                assert_eq!(next(&mut endpoint, 0), wire);
            }
        }
    }
}

#[test]
fn what_waits_to_be_cut_counts_as_output() {
    for role in ROLES {
        let options = Options::from(Config::new().max_outgoing_frame(4)).max_output(100);
        let mut endpoint = open(role, options);
        let out = &mut endpoint.outbound;
        // When nothing waits, a single message may be longer.
        out.queue(vec![7; 200]).unwrap();
        // With what it takes to keep it: many short messages must not take more than is counted.
        let kept = out.waiting().checked_sub(200).unwrap();
        assert!((16..=64).contains(&kept), "{kept}");
        assert_eq!(out.queue("x").unwrap_err().error, SendError::OutputFull);
        assert_eq!(out.queue(vec![0; 5000]).unwrap_err().error, SendError::OutputFull);
        assert_eq!(out.ping(b""), Err(SendError::OutputFull));
        let fragment = out.queue_fragment(MessageKind::Text, b"x", true);
        assert_eq!(fragment, Err(SendError::OutputFull));
        // So does what the driver has taken.
        let mut batch = Output::default();
        out.take_output(&mut batch);
        let header = by(role, 0, b"").len();
        assert_eq!((batch.len(), out.waiting()), (header + 4, header + 200 + kept));
        out.written(batch.len());
        assert_eq!(out.waiting(), 196 + kept);
        take(&mut endpoint);
        endpoint.outbound.queue("xxxxx").unwrap();
        assert_eq!(endpoint.outbound.waiting(), 5 + kept);
        // An empty message that follows is output as well, and so is a Close frame.
        endpoint.outbound.queue("").unwrap();
        endpoint.outbound.start_close(None, "").unwrap();
        let expected = [
            frame(TEXT, b"xxxx"),
            frame(FIN | CONT, b"x"),
            frame(FIN | TEXT, b""),
            frame(FIN | CLOSE, b""),
        ];
        let mut left = Vec::new();
        while let bytes @ [_, ..] = &take_frame(&mut endpoint, 0)[..] {
            left.extend_from_slice(bytes);
            let rest = plain(&left).len() < expected.len();
            assert_eq!(endpoint.outbound.waiting() > 0, rest);
        }
        assert_eq!(plain(&left), expected);
    }
}

// Whatever is sent behind a message that waits to be cut.
#[test]
fn messages_behind_one_that_is_not_cut_yet_keep_their_order() {
    for role in ROLES {
        let mut endpoint = by_four(role);
        let out = &mut endpoint.outbound;
        out.queue("aaaabbbb").unwrap();
        out.queue("c").unwrap();
        out.queue_ref(b"d").unwrap();
        out.queue_prepared(&PreparedMessage::new(&Message::from("e"))).unwrap();
        out.queue_fragment(MessageKind::Text, b"f", false).unwrap();
        // It is open from now on, though nothing of it is written.
        assert_eq!(out.queue("no").unwrap_err().error, SendError::MessageOpen);
        assert_eq!(out.queue(vec![0; 5000]).unwrap_err().error, SendError::MessageOpen);
        assert_eq!(out.queue_ref(b"no"), Err(SendError::MessageOpen));
        let prepared = PreparedMessage::new(&Message::from("no"));
        assert_eq!(out.queue_prepared(&prepared), Err(SendError::MessageOpen));
        let fragment = out.queue_fragment(MessageKind::Binary, b"no", true);
        assert_eq!(fragment, Err(SendError::MessageOpen));
        out.queue_fragment(MessageKind::Text, b"ffffg", false).unwrap();
        let expected = [
            frame(TEXT, b"aaaa"),
            frame(FIN | CONT, b"bbbb"),
            frame(FIN | TEXT, b"c"),
            frame(FIN | BINARY, b"d"),
            frame(FIN | TEXT, b"e"),
            frame(TEXT, b"f"),
            frame(CONT, b"ffff"),
            frame(CONT, b"g"),
        ];
        assert_eq!(plain(&take(&mut endpoint)), expected);
        // It still is when all is written.
        assert_eq!(endpoint.outbound.queue("no").unwrap_err().error, SendError::MessageOpen);
        endpoint.outbound.queue_fragment(MessageKind::Text, b"hhhhi", true).unwrap();
        endpoint.outbound.queue("j").unwrap();
        let expected = [frame(CONT, b"hhhh"), frame(FIN | CONT, b"i"), frame(FIN | TEXT, b"j")];
        assert_eq!(plain(&take(&mut endpoint)), expected);
    }
}

// RFC 6455 §5.5.1: the Close frame of an idle connection does not split a message either.
#[test]
fn an_idle_close_follows_the_message() {
    let config = Config::new().max_outgoing_frame(4).idle_timeout(Some(Duration::from_millis(100)));
    for role in ROLES {
        let mut endpoint = open(role, config);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
        endpoint.outbound.queue("aaaabbbbcccc").unwrap();
        let parts = [(TEXT, b"aaaa"), (CONT, b"bbbb"), (FIN | CONT, b"cccc")]
            .map(|(first, part)| by(role, first, part));
        // For as long as fragments go out, the connection is not idle.
        let waits = |at: usize, until| Answer::Write(parts[at].clone(), true, Some(until));
        assert_eq!(next(&mut endpoint, 90), waits(0, 190));
        write(&mut endpoint, 90, usize::MAX);
        assert_eq!(next(&mut endpoint, 180), waits(1, 280));
        assert_eq!(next(&mut endpoint, 279), waits(1, 280));
        assert!(endpoint.outbound.is_open());
        // The peer takes nothing: the Close frame waits for its turn.
        assert_eq!(next(&mut endpoint, 280), waits(1, 5_280));
        assert!(!endpoint.outbound.is_open());
        let expected = [
            waits(1, 5_280),
            waits(2, 5_280),
            Answer::Write(close_by(role, CloseCode::GOING_AWAY), true, Some(5_280)),
            Answer::Wait(true, Some(5_280)),
        ];
        assert_eq!(run(&mut endpoint, 280), expected);
        let close = to(role, FIN | CLOSE, &close_body(1001, ""));
        assert_eq!(feed_at(&mut endpoint, 300, &close), [closed_by_us(1001, "")]);
        assert_eq!(endpoint.close_info(), info(CloseCode::GOING_AWAY, "", true, true, Some(1001)));
    }
}

// RFC 6455 §5.5.3: nor do Pongs pile up in front of a Close frame that waits for the message.
#[test]
fn pings_are_bounded_while_the_close_frame_waits() {
    for idle in [false, true] {
        let config =
            Config::new().max_outgoing_frame(4).idle_timeout(Some(Duration::from_millis(100)));
        let Endpoint { mut inbound, mut outbound, .. } =
            open(Role::Server, Options::from(config).max_output(1_000));
        outbound.queue(vec![7; 500]).unwrap();
        let told = next_inbound(&mut inbound, &mut outbound, 0);
        assert_eq!(told, Answer::Wait(true, Some(100)));
        if idle {
            let _ = next_inbound(&mut inbound, &mut outbound, 100);
        } else {
            outbound.start_close(None, "").unwrap();
        }
        assert!(!outbound.is_open());
        let pinged = to(Role::Server, FIN | PING, &[b'p'; 100]);
        for _ in 0..100 {
            assert_eq!(inbound.receive(&pinged), pinged.len());
            let told = next_inbound(&mut inbound, &mut outbound, 100);
            assert_eq!(told, Answer::Told(ping(&[b'p'; 100])));
            assert!(outbound.waiting() < 1_000 + 131, "{}", outbound.waiting());
        }
        // All of it goes out in the end, the Close frame last.
        let mut endpoint_wire = Vec::new();
        loop {
            let mut batch = Output::default();
            outbound.take_output(&mut batch);
            if batch.is_empty() {
                break;
            }
            endpoint_wire.extend(batch.slices().flatten());
            outbound.written(batch.len());
        }
        let sent = plain(&endpoint_wire);
        assert_eq!(sent.last().unwrap().0, FIN | CLOSE);
        let pongs = sent.iter().filter(|(first, _)| *first == FIN | PONG).count();
        assert!((2..10).contains(&pongs), "{pongs}");
        let message: Vec<u8> = sent
            .iter()
            .filter(|(first, _)| first & 0xf <= BINARY)
            .flat_map(|(_, part)| part.clone())
            .collect();
        assert_eq!(message, [7; 500]);
    }
}

// RFC 6455 §5.3
#[test]
fn each_fragment_of_a_client_has_a_key_of_its_own() {
    let options = Config::new().max_outgoing_frame(3);
    let mut client = Endpoint::client_after_handshake(options, random(), b"");
    client.outbound.queue(vec![7; 300]).unwrap();
    let sent = frames(&take(&mut client));
    assert!(sent.iter().all(|(_, _, payload)| payload[..] == [7; 3]));
    let mut keys: Vec<_> = sent.iter().map(|(_, key, _)| key.unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 100);
}

// A driver that takes the output takes one fragment at a time, too.
#[test]
fn control_frames_go_between_the_batches_of_a_message() {
    let mut server = by_four(Role::Server);
    server.outbound.queue("aaaabbbbccccdddd").unwrap();
    let mut wire = Vec::new();
    for round in 0..10_u8 {
        let mut batch = Output::default();
        server.outbound.take_output(&mut batch);
        let told = feed(&mut server, &to(Role::Server, FIN | PING, &[round]));
        assert_eq!(told, [ping(&[round])]);
        wire.extend(batch.slices().flatten().copied());
        server.outbound.written(batch.len());
    }
    let sent = plain(&wire);
    assert_eq!(sent.iter().filter(|(first, _)| *first == FIN | PONG).count(), 9);
    let data: Vec<_> = sent.iter().filter(|(first, _)| *first != FIN | PONG).cloned().collect();
    let expected = [
        frame(TEXT, b"aaaa"),
        frame(CONT, b"bbbb"),
        frame(CONT, b"cccc"),
        frame(FIN | CONT, b"dddd"),
    ];
    assert_eq!(data, expected);
    // The first comes while one fragment is in flight.
    let start = [expected[0].clone(), frame(FIN | PONG, &[0]), expected[1].clone()];
    assert_eq!(sent[..3], start);
}

#[test]
fn what_is_not_cut_is_dropped_with_the_output() {
    for reset in [true, false] {
        let mut endpoint = by_four(Role::Server);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, None)]);
        endpoint.outbound.queue(vec![7; 100_000]).unwrap();
        endpoint.outbound.start_close(None, "").unwrap();
        assert!(matches!(next(&mut endpoint, 0), Answer::Write(_, true, Some(5_000))));
        // A Close frame that was not encoded was not sent.
        let mut expected = vec![Answer::Told(closed(1006, "")), Answer::Done];
        if reset {
            endpoint.outbound.receive_reset();
            assert_eq!(endpoint.outbound.waiting(), 0);
        } else {
            expected.insert(1, Answer::Shutdown(Some(5_000)));
        }
        assert_eq!(run(&mut endpoint, 5_000), expected, "{reset}");
        assert_eq!(endpoint.outbound.waiting(), 0);
        assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
    }
}

// Whoever waits until all is written learns that the end of a message was not.
#[test]
fn a_flush_learns_what_was_dropped() {
    for role in ROLES {
        let mut endpoint = by_four(role);
        endpoint.outbound.queue("aaaa").unwrap();
        endpoint.outbound.queue("bbbbcccc").unwrap();
        take_frame(&mut endpoint, 0);
        take_frame(&mut endpoint, 0);
        assert!(!endpoint.outbound.has_dropped());
        let close = to(role, FIN | CLOSE, b"");
        assert_eq!(endpoint.inbound.receive(&close), close.len());
        // Only the answer is left, then nothing.
        let answer = take_frame(&mut endpoint, 0);
        assert_eq!(plain(&answer), [frame(FIN | CLOSE, b"")]);
        let rest = next_write(&mut endpoint, 0);
        assert!(matches!(rest, Answer::Wait(..) | Answer::Shutdown(_)), "{rest:?}");
        assert_eq!(endpoint.outbound.waiting(), 0);
        assert!(endpoint.outbound.has_dropped());
    }
}

// What a message takes beside its payload counts, so that empty ones cannot fill the memory.
#[test]
fn short_messages_that_wait_uncut_are_bounded() {
    for role in ROLES {
        let config = Config::new().max_outgoing_frame(4);
        let mut endpoint = open(role, Options::from(config).max_output(10_000));
        endpoint.outbound.queue("aaaabbbb").unwrap();
        let refused = (0..10_000).find_map(|n| Some((n, endpoint.outbound.queue("").err()?)));
        let (count, unsent) = refused.expect("a limit");
        assert_eq!(unsent.error, SendError::OutputFull);
        // What a message takes is mostly pointers and lengths, so with 32 bits twice as many fit.
        let count = count * size_of::<usize>() / size_of::<u64>();
        assert!((100..400).contains(&count), "{count}");
        // As they leave, others fit.
        take(&mut endpoint);
        endpoint.outbound.queue("").unwrap();
    }
}

#[test]
fn a_message_that_is_lent_is_copied_once() {
    let mut server = by_four(Role::Server);
    let lent = b"aaaabbbbccccdddd";
    server.outbound.queue_ref(MessageRef::Binary(lent)).unwrap();
    let mut places = Vec::new();
    while let Next::Write { mut output, .. } = server.next_write(|| AT(0)) {
        let payload = output.slices().last().unwrap();
        assert_eq!(payload.len(), 4);
        places.push(payload.as_ptr() as usize);
        let len = output.len();
        output.advance(len);
    }
    // All lie in the one copy.
    let first = places[0];
    assert_eq!(places, [first, first + 4, first + 8, first + 12]);
    assert!(!lent.as_ptr_range().contains(&(first as *const u8)));
}

// A message that is longer than all output may be is alone in it, but for the control frames between its fragments.
#[test]
fn control_frames_go_between_the_fragments_of_a_message_past_the_limit() {
    for role in ROLES {
        let config = Config::new().max_outgoing_frame(4);
        let mut endpoint = open(role, Options::from(config).max_output(100));
        endpoint.outbound.queue(vec![7; 200]).unwrap();
        let mut wire = take_frame(&mut endpoint, 0);
        for round in 0..3 {
            assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, &[round])), [ping(&[round])]);
            wire.extend(take_frame(&mut endpoint, 0));
        }
        let sent: Vec<_> = plain(&wire).into_iter().map(|(first, _)| first).collect();
        let pong = FIN | PONG;
        assert_eq!(sent, [BINARY, pong, CONT, pong, CONT, pong, CONT], "{role:?}");
    }
}

// The last fragment is encoded: nothing is left to be dropped.
#[test]
fn a_message_that_was_cut_to_its_end_is_not_dropped() {
    for role in ROLES {
        for last in [to(role, FIN | CLOSE, b""), vec![0xff, 0xff]] {
            let mut endpoint = by_four(role);
            endpoint.outbound.queue("Hello").unwrap();
            take_frame(&mut endpoint, 0);
            assert!(matches!(next(&mut endpoint, 0), Answer::Write(..)));
            assert_eq!(endpoint.inbound.receive(&last), last.len());
            assert!(matches!(next(&mut endpoint, 0), Answer::Told(_)));
            let sent = plain(&take(&mut endpoint));
            assert_eq!(sent[0], frame(FIN | CONT, b"o"));
            assert!(!endpoint.outbound.has_dropped(), "{role:?}");
        }
    }
}

#[test]
fn a_close_frame_that_waits_is_no_message_that_was_dropped() {
    for role in ROLES {
        let mut endpoint = by_four(role);
        endpoint.outbound.queue("Hello").unwrap();
        take_frame(&mut endpoint, 0);
        assert!(matches!(next(&mut endpoint, 0), Answer::Write(..)));
        endpoint.outbound.start_close(CloseCode::NORMAL, "bye").unwrap();
        let close = to(role, FIN | CLOSE, &[3, 233]);
        assert_eq!(endpoint.inbound.receive(&close), close.len());
        assert_eq!(next(&mut endpoint, 0), Answer::Told(closed(1001, "")));
        let sent = plain(&take(&mut endpoint));
        assert_eq!(sent, [frame(FIN | CONT, b"o"), frame(FIN | CLOSE, &[3, 233])]);
        assert!(!endpoint.outbound.has_dropped(), "{role:?}");
    }
}

// The stream has ended before our Close frame was encoded; it is sent all the same.
#[test]
fn who_closed_first_is_known_when_the_close_frame_is_sent() {
    let mut server = by_four(Role::Server);
    server.outbound.queue("aaaabbbb").unwrap();
    server.outbound.start_close(CloseCode::NORMAL, "").unwrap();
    server.inbound.receive_eof();
    assert_eq!(next(&mut server, 0), Answer::Told(closed(1006, "")));
    assert_eq!(server.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
    let sent = plain(&take(&mut server));
    assert_eq!(sent.last(), Some(&frame(FIN | CLOSE, &[3, 232])));
    assert_eq!(server.close_info(), info(CloseCode::ABNORMAL, "", false, true, Some(1000)));
}
