//! What a peer can make an endpoint allocate: live bytes ≤ payload + a constant.
#![cfg(feature = "endpoint")]

mod attacks;
mod common;
mod ends;
mod meter;

use core::time::Duration;

use attacks::{CONSTANT, at_most};
use common::*;
use ends::*;
use meter::Meter;
use ws_core::endpoint::{Buffers, Event, Next, Options, Output};
use ws_core::{Config, Endpoint, Message, MessageKind, Role};

const MIB: usize = 1 << 20;

/// Passes bytes, counts messages and their bytes, and lets go of them; replies are dropped.
fn swallow(endpoint: &mut Endpoint, bytes: &[u8], by_ref: bool) -> (usize, usize) {
    let (mut rest, mut count, mut total) = (bytes, 0, 0);
    while !rest.is_empty() {
        let taken = endpoint.inbound.receive(rest);
        assert_ne!(taken, 0, "no progress");
        rest = &rest[taken..];
        loop {
            let len = if by_ref {
                match endpoint.next_ref(|| AT(0)) {
                    Next::Event((Event::Message(message), _)) => message.as_bytes().len(),
                    Next::Write { .. } | Next::Wait { .. } => break,
                    other => panic!("{other:?}"),
                }
            } else {
                match endpoint.next(|| AT(0)) {
                    Next::Event(Event::Message(message)) => message.len(),
                    Next::Write { .. } | Next::Wait { .. } => break,
                    other => panic!("{other:?}"),
                }
            };
            count += 1;
            total += len;
        }
    }
    (count, total)
}

/// An open server or client whose bytes are all counted.
fn counted(role: Role) -> (Meter, Endpoint) {
    let meter = Meter::new();
    (meter, open(role, Options::new()))
}

// RUSTSEC-2022-0035
#[test]
fn declared_length_allocates_nothing() {
    for role in ROLES {
        let (meter, mut endpoint) = counted(role);
        assert!(
            feed(&mut endpoint, &length(role, FIN | BINARY, 127, &(16 * MIB as u64).to_be_bytes()))
                .is_empty()
        );
        let _ = endpoint.inbound.receive(&KEY);
        assert!(seen(&mut endpoint).is_empty());
        assert!(endpoint.inbound.read_buf().len() <= 64 * 1024);
        assert!(meter.peak() <= 16 * 1024, "{role:?} {}", meter.peak());

        let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
        // gpac #3860: the longest that there is, too.
        for len in [1_u64 << 62, (1 << 63) - 1] {
            let meter = Meter::new();
            let mut endpoint = open(role, config);
            let head = length(role, FIN | BINARY, 127, &len.to_be_bytes());
            assert!(feed(&mut endpoint, &[&head[..], &KEY].concat()).is_empty());
            assert!(endpoint.inbound.read_buf().len() <= 64 * 1024);
            assert!(meter.peak() <= 16 * 1024, "{role:?} {}", meter.peak());
        }
    }
}

// Memory for what arrives of it is at most tripled.
#[test]
fn a_declared_length_costs_what_arrives() {
    let len = attacks::length(100_000);
    for role in ROLES {
        let mut stream = length(role, FIN | BINARY, 127, &(1_u64 << 62).to_be_bytes());
        stream.extend(if role == Role::Server { &KEY[..] } else { b"" });
        stream.resize(stream.len() + len, 7);
        let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
        let meter = Meter::new();
        let mut endpoint = open(role, config);
        assert_eq!(swallow(&mut endpoint, &stream, true), (0, 0));
        at_most(len + CONSTANT.max(2 * len), meter.peak(), role);
    }
}

// What arrives of a long frame is all that grows the buffer, however little comes at once.
#[test]
fn one_byte_reads_of_a_large_frame() {
    let len = attacks::length(attacks::FRAME);
    for by_ref in [false, true] {
        for role in ROLES {
            let frame = to(role, FIN | BINARY, &vec![7; len]);
            let (meter, mut endpoint) = counted(role);
            let mut message = (0, 0);
            for (at, byte) in frame.chunks(1).enumerate() {
                message = swallow(&mut endpoint, byte, by_ref);
                assert!(meter.live() <= 3 * at + CONSTANT, "{} after {at}", meter.live());
            }
            assert_eq!(message, (1, len));
            at_most(len + CONSTANT, meter.peak(), role);
        }
    }
}

// Nobody takes the output. With the usual limit the endpoint soon reads no more. With a smaller one, only the latest Ping is
// answered.
#[test]
fn pings_that_are_never_answered_cost_the_output_that_may_wait() {
    let count = attacks::length(100_000);
    for max_output in [10_000, 16 * MIB] {
        for role in ROLES {
            let pings = to(role, FIN | PING, &[7; 125]);
            let meter = Meter::new();
            let mut endpoint = open(role, Options::new().max_output(max_output));
            let mut told = 0;
            for _ in 0..count {
                let taken = endpoint.inbound.receive(&pings);
                while let Next::Event(Event::Ping(payload)) = endpoint.next(|| AT(0)) {
                    assert_eq!(payload.len(), 125);
                    told += 1;
                }
                if taken < pings.len() {
                    assert!(max_output > CONSTANT, "it reads no more after {told}");
                    break;
                }
            }
            assert!(if max_output < CONSTANT { told == count } else { told < 1000 }, "{told}");
            at_most(CONSTANT, meter.peak(), role);
        }
    }
}

// Endless heads are refused at the limit; what has come of it is all that they take.
#[test]
fn a_head_in_one_byte_reads_costs_its_length() {
    use ws_core::endpoint::EndpointError;
    use ws_core::handshake::{ClientRequest, HandshakeError};
    let limit = attacks::length(16 * 1024);
    let endless = |start: &str| format!("{start}X: {}", "y".repeat(limit)).into_bytes();
    let options = Options::new().max_head(limit);
    for (role, head) in [
        (Role::Server, endless("GET / HTTP/1.1\r\nHost: a\r\n")),
        (Role::Client, endless("HTTP/1.1 101 Switching Protocols\r\n")),
    ] {
        let meter = Meter::new();
        let mut endpoint = match role {
            Role::Server => Endpoint::server(options.clone()),
            Role::Client => asking(&ClientRequest::new("example.com", "/"), options.clone()),
        };
        let mut received = 0;
        let error = loop {
            assert_eq!(endpoint.inbound.receive(&head[received..=received]), 1);
            received += 1;
            assert!(meter.live() <= 3 * received + 16 * 1024, "{} of {received}", meter.live());
            match endpoint.next(|| AT(0)) {
                Next::Wait { .. } => {}
                Next::Failed(error) => break error,
                other => panic!("{other:?}"),
            }
        };
        let expected = match role {
            Role::Server => HandshakeError::HeadTooLarge,
            Role::Client => HandshakeError::ResponseHeadTooLarge,
        };
        assert_eq!(error, EndpointError::Handshake(expected));
        assert!((limit..=limit + 1).contains(&received), "{received}");
        at_most(limit + CONSTANT, meter.peak(), role);
    }
}

// CVE-2026-12151, CVE-2026-48779, CVE-2026-54274, CVE-2026-65623: bookkeeping or work per fragment
fn fragments_cost_their_payload(payload: &[u8]) {
    let count = attacks::length(1_000_000).next_multiple_of(1000);
    let total = count * payload.len();
    for role in ROLES {
        let fragments = to(role, CONT, payload).repeat(1000);
        let meter = Meter::new();
        let mut endpoint = open(role, Config::new().max_message(u64::MAX));
        assert_eq!(swallow(&mut endpoint, &to(role, BINARY, b""), false), (0, 0));
        for _ in 0..count / 1000 {
            assert_eq!(swallow(&mut endpoint, &fragments, false), (0, 0));
        }
        at_most(total + CONSTANT, meter.peak(), role);
        assert_eq!(swallow(&mut endpoint, &to(role, FIN | CONT, b""), false), (1, total));
        assert!(meter.live() <= 128 * 1024, "{role:?} {}", meter.live());
        // Memory is doubled now and then, not for each of them.
        assert!(meter.calls() <= 64, "{role:?} {}", meter.calls());
        assert!(meter.allocated() <= 8 * total + CONSTANT, "{role:?} {}", meter.allocated());
    }
}

#[test]
fn a_million_fragments_cost_their_payload() {
    fragments_cost_their_payload(b"x");
}

#[test]
fn a_million_empty_fragments_cost_nothing() {
    fragments_cost_their_payload(b"");
}

// The buffer grows by a quarter of what has arrived, since nobody knows how much follows.
#[test]
fn fragments_of_a_long_message_cost_a_quarter_more() {
    let total = 16 * MIB;
    for role in ROLES {
        let fragments = to(role, CONT, &[7; 1024]).repeat(64);
        let (meter, mut endpoint) = counted(role);
        assert_eq!(swallow(&mut endpoint, &to(role, BINARY, b""), true), (0, 0));
        for at in 1..=total / MIB * 16 {
            assert_eq!(swallow(&mut endpoint, &fragments, true), (0, 0));
            let most = at * 64 * 1024 * 5 / 4 + CONSTANT;
            assert!(meter.peak() <= most, "{role:?} {} of {most}", meter.peak());
        }
        assert_eq!(swallow(&mut endpoint, &to(role, FIN | CONT, b""), true), (1, total));
    }
}

// With bytes that come one at a time, too.
#[test]
fn fragments_in_one_byte_reads_cost_their_payload() {
    let role = Role::Server;
    let stream =
        [to(role, TEXT, b"a"), to(role, CONT, b"b").repeat(20_000), to(role, FIN | CONT, b"c")]
            .concat();
    for by_ref in [false, true] {
        let (meter, mut endpoint) = counted(role);
        let mut message = (0, 0);
        for byte in stream.chunks(1) {
            message = swallow(&mut endpoint, byte, by_ref);
        }
        assert_eq!(message, (1, 20_002));
        assert!(meter.peak() <= 20_002 + 16 * 1024, "{}", meter.peak());
    }
}

// A kept message does not keep the buffer that it came in.
#[test]
fn kept_messages_retain_little_more_than_themselves() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new());
        // The buffer has grown to its full size.
        let filler = to(role, FIN | BINARY, &[1; 1000]).repeat(1000);
        swallow(&mut endpoint, &filler, false);
        for (size, most) in [
            (0, 0),
            (16, 16),
            (1000, 1000),
            (4095, 4095),
            (4096, 2 * 4096),
            (5000, 2 * 5000),
            (40_000, 2 * 40_000),
            (100_000, 2 * 100_000),
            (MIB, 2 * MIB),
        ] {
            for kind in [BINARY, TEXT] {
                for before in [0, 1, 30] {
                    let small = to(role, FIN | BINARY, &[1; 1000]).repeat(before);
                    let stream = [small, to(role, FIN | kind, &vec![b'x'; size])].concat();
                    endpoint.release_buffers();
                    let meter = Meter::new();
                    let mut kept = Vec::new();
                    let mut rest = &stream[..];
                    while !rest.is_empty() {
                        let taken = endpoint.inbound.receive(rest);
                        rest = &rest[taken..];
                        while let Next::Event(event) = endpoint.next(|| AT(0)) {
                            let Event::Message(message) = event else { panic!("{event:?}") };
                            kept.push(message);
                        }
                    }
                    let message = kept.pop().unwrap();
                    assert_eq!(message.len(), size);
                    drop(kept);
                    endpoint.release_buffers();
                    assert!(
                        meter.live() <= most + 64,
                        "{role:?} {size} after {before}: {}",
                        meter.live()
                    );
                }
            }
        }
    }
}

/// Reads a stream by `read_buf` in reads of at most this size; tells where the last payload byte of
/// the last read was put.
fn read_directly(endpoint: &mut Endpoint, stream: &[u8], most: usize) -> (Vec<Message>, usize) {
    let (mut rest, mut messages, mut last) = (stream, Vec::new(), 0);
    while !rest.is_empty() {
        let free = endpoint.inbound.read_buf();
        let count = free.len().min(rest.len()).min(most);
        assert_ne!(count, 0, "no room");
        free[..count].copy_from_slice(&rest[..count]);
        last = free[count - 1..].as_ptr() as usize;
        endpoint.inbound.filled(count);
        rest = &rest[count..];
        while let Next::Event(event) = endpoint.next(|| AT(0)) {
            let Event::Message(message) = event else { panic!("{event:?}") };
            messages.push(message);
        }
    }
    (messages, last)
}

// A large message is handed over with the buffer that it was read into.
#[test]
fn large_message_is_handed_over_uncopied() {
    for role in ROLES {
        for size in [10_000, 65_536, 100_000, MIB, 3 * MIB] {
            for kind in [BINARY, TEXT] {
                for most in [1000, usize::MAX] {
                    let mut endpoint = open(role, Options::new());
                    let stream = to(role, FIN | kind, &vec![b'x'; size]);
                    let (messages, last) = read_directly(&mut endpoint, &stream, most);
                    let [message] = &messages[..] else { panic!("{}", messages.len()) };
                    assert_eq!(message.len(), size);
                    let end = message.as_bytes()[size - 1..].as_ptr() as usize;
                    assert_eq!(end, last, "{role:?} {size} by {most}");
                }
            }
        }
    }
}

// A long frame is read in long pieces, to its end and no further.
#[test]
fn long_frames_are_read_in_few_reads() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new());
        let frame = to(role, FIN | BINARY, &vec![1; MIB]);
        let stream = frame.repeat(4);
        let (mut rest, mut reads, mut messages) = (&stream[..], 0, 0);
        while !rest.is_empty() {
            let free = endpoint.inbound.read_buf();
            let count = free.len().min(rest.len());
            free[..count].copy_from_slice(&rest[..count]);
            endpoint.inbound.filled(count);
            rest = &rest[count..];
            reads += 1;
            while let Next::Event(_) = endpoint.next(|| AT(0)) {
                messages += 1;
                assert_eq!(rest.len() % frame.len(), 0, "nothing after the frame was read");
            }
        }
        assert_eq!(messages, 4);
        assert!(reads <= 4 * 12, "{reads}");
    }
}

#[test]
fn release_buffers_leaves_no_heap() {
    for role in ROLES {
        // A client's keys and their generator are state, not buffers.
        let meter = Meter::new();
        let mut endpoint = open(role, Options::new());
        let fixed = meter.live();
        assert!(fixed <= if role == Role::Client { 512 } else { 0 }, "{role:?} {fixed}");
        let frame = to(role, FIN | BINARY, &[1; 1000]);
        let busy = frame.repeat(200);
        swallow(&mut endpoint, &busy, false);
        endpoint.outbound.queue("hello").unwrap();
        assert!(meter.live() > fixed);
        let waiting = endpoint.outbound.waiting();
        endpoint.release_buffers();
        assert_eq!(endpoint.outbound.waiting(), waiting, "what waits is kept");
        assert_eq!(write(&mut endpoint, 0, waiting), waiting);
        endpoint.release_buffers();
        assert_eq!(meter.live(), fixed + busy.capacity() + frame.capacity(), "{role:?}");

        // Half a frame is kept, and all goes on as before.
        assert_eq!(swallow(&mut endpoint, &frame[..500], false), (0, 0));
        endpoint.release_buffers();
        assert_eq!(swallow(&mut endpoint, &frame[500..], false), (1, 1000));
        endpoint.release_buffers();
        assert_eq!(meter.live(), fixed + busy.capacity() + frame.capacity(), "{role:?}");
        // Half a head, too, which lies in the fixed state.
        assert_eq!(swallow(&mut endpoint, &frame[..1], false), (0, 0));
        endpoint.release_buffers();
        assert_eq!(meter.live(), fixed + busy.capacity() + frame.capacity(), "{role:?}");
        assert_eq!(swallow(&mut endpoint, &frame[1..], true), (1, 1000));
    }
}

// Nothing will be put together any more, and an event that is held is no message.
#[test]
fn what_is_over_keeps_no_heap() {
    for role in ROLES {
        for last in [to(role, FIN | CLOSE, b""), vec![0xff, 0xff]] {
            let fragment = to(role, BINARY, &[7; 1 << 20]);
            let (meter, mut endpoint) = counted(role);
            let fixed = meter.live();
            let mut sent = &fragment[..];
            while !sent.is_empty() {
                sent = &sent[endpoint.inbound.receive(sent)..];
                assert!(matches!(next(&mut endpoint, 0), Answer::Wait(true, _)));
            }
            assert!(meter.live() > fragment.len());
            assert_eq!(endpoint.inbound.receive(&last), last.len());
            while !matches!(next(&mut endpoint, 0), Answer::Told(_)) {}
            endpoint.inbound.receive_eof();
            run(&mut endpoint, 0);
            endpoint.release_buffers();
            // What is known of the end stays.
            assert!(meter.live() <= fixed + 256, "{role:?} {}", meter.live() - fixed);
        }
        let mut buffers = Buffers::new();
        let mut before = open(role, Options::new());
        let mut ws = before.with_buffers(&mut buffers);
        ws.outbound.ping(b"").unwrap();
        write(&mut ws, 0, usize::MAX);
        drop(ws);
        let bytes = to(role, FIN | PING, b"");
        let (meter, mut endpoint) = counted(role);
        let fixed = meter.live();
        let mut ws = endpoint.with_buffers(&mut buffers);
        assert_eq!(ws.inbound.receive(&bytes), bytes.len());
        assert!(matches!(next_write(&mut ws, 0), Answer::Write(_, false, _)));
        write(&mut ws, 0, usize::MAX);
        drop(ws);
        assert!(meter.live() <= fixed + 64, "{role:?} {}", meter.live() - fixed);
        assert_eq!(next(&mut endpoint, 0), Answer::Told(ping(b"")));
    }
}

// However long the message is that is open.
#[test]
fn bytes_that_wait_to_be_parsed_are_bounded() {
    let (_, mut endpoint) = counted(Role::Server);
    let fragment = to(Role::Server, CONT, &[7; 1000]);
    swallow(&mut endpoint, &to(Role::Server, BINARY, &[7; 1000]), true);
    for _ in 0..8_000 {
        swallow(&mut endpoint, &fragment, true);
    }
    let mut taken = 0;
    while let count @ 1.. = endpoint.inbound.receive(&fragment) {
        taken += count;
    }
    assert!((64 * 1024..128 * 1024).contains(&taken), "{taken}");
}

// The list of what waits is not kept at its longest.
#[test]
fn written_output_leaves_little_behind() {
    for role in ROLES {
        let (meter, mut endpoint) = counted(role);
        let message = Message::Binary(vec![7; 4096].into());
        let before = meter.live();
        for _ in 0..3000 {
            endpoint.outbound.queue(message.clone()).unwrap();
        }
        write(&mut endpoint, 0, usize::MAX);
        assert!(meter.live() - before <= 80 * 1024, "{role:?} {}", meter.live() - before);
    }
}

#[test]
fn steady_echo_allocates_nothing() {
    for role in ROLES {
        for size in [0, 16, 125, 1000] {
            let mut endpoint = open(role, Options::new());
            let batch = to(role, FIN | BINARY, &vec![7; size]).repeat(10);
            let echo = |endpoint: &mut Endpoint| {
                let (mut rest, mut echoed) = (&batch[..], 0);
                while !rest.is_empty() {
                    let taken = endpoint.inbound.receive(rest);
                    rest = &rest[taken..];
                    while let Next::Event((event, out)) = endpoint.next_ref(|| AT(0)) {
                        let Event::Message(message) = event else { panic!("{event:?}") };
                        out.queue_ref(message).unwrap();
                        echoed += 1;
                    }
                }
                assert_eq!(echoed, 10);
                while let Next::Write { mut output, .. } = endpoint.next(|| AT(0)) {
                    let count = output.slices().next().unwrap().len();
                    output.advance(count);
                }
            };
            for _ in 0..100 {
                echo(&mut endpoint);
            }
            let meter = Meter::new();
            for _ in 0..1000 {
                echo(&mut endpoint);
            }
            assert_eq!(meter.calls(), 0, "{role:?} {size}");
        }
    }
}

// A message for many receivers costs each of them its place in a queue.
#[test]
fn broadcast_shares_one_payload() {
    let message = Message::from(vec![7; MIB]);
    let prepared = ws_core::PreparedMessage::new(&message);
    let mut servers: Vec<_> = (0..10).map(|_| server()).collect();
    let meter = Meter::new();
    for server in &mut servers {
        server.outbound.queue(message.clone()).unwrap();
        server.outbound.queue_prepared(&prepared).unwrap();
    }
    assert!(meter.live() <= 10 * 1024, "{}", meter.live());
    // So does one that is cut into fragments, which are made while it is written.
    let mut server = open(Role::Server, Config::new().max_outgoing_frame(100));
    let meter = Meter::new();
    server.outbound.queue(message).unwrap();
    assert!(meter.live() <= 1024, "{}", meter.live());
    let mut written = 0;
    while let count @ 1.. = write(&mut server, 0, usize::MAX) {
        written += count;
    }
    assert_eq!(written, MIB + 2 * MIB.div_ceil(100));
    assert!(meter.peak() <= 4 * 1024, "{}", meter.peak());
    drop(server);
    assert_eq!(prepared.message().kind(), MessageKind::Binary);
    assert!(meter.largest() <= 4 * 1024, "{}", meter.largest());
}

// An idle connection in an event loop holds no buffer.
#[test]
fn shared_buffers_leave_an_idle_endpoint_without_memory() {
    let mut buffers = Buffers::new();
    for role in ROLES {
        // The first use allocates the buffers.
        let mut warm = open(role, Options::new());
        let mut ws = warm.with_buffers(&mut buffers);
        assert_eq!(feed(&mut ws, &to(role, FIN | TEXT, b"x")), [text("x")]);
        ws.outbound.queue_fragment(MessageKind::Binary, &[0; 100], true).unwrap();
        write(&mut ws, 0, usize::MAX);
        drop(ws);

        let frames = [0, 10, 4_000, 30_000].map(|len| (len, to(role, FIN | BINARY, &vec![7; len])));
        let part = to(role, FIN | BINARY, &[7; 1000]);
        let (meter, mut endpoint) = counted(role);
        let idle = meter.live();
        let calls = meter.calls();
        for (len, frame) in &frames {
            let mut ws = endpoint.with_buffers(&mut buffers);
            assert_eq!(swallow(&mut ws, frame, true), (1, *len));
            ws.outbound.queue_fragment(MessageKind::Binary, b"echo", true).unwrap();
            write(&mut ws, 0, usize::MAX);
            drop(ws);
            assert_eq!(meter.live(), idle, "{role:?} {len}");
        }
        assert_eq!(meter.calls(), calls, "{role:?}");

        // What has come in part is kept in as much memory as it needs.
        swallow(&mut endpoint.with_buffers(&mut buffers), &part[..300], true);
        assert!(meter.live() <= idle + 300, "{role:?} {}", meter.live());
        let mut ws = endpoint.with_buffers(&mut buffers);
        assert_eq!(swallow(&mut ws, &part[300..], true), (1, 1000));
        drop(ws);
        assert_eq!(meter.live(), idle, "{role:?}");
    }
}

// Nor does one that was handed a long message, or only the start of the next one behind it.
#[test]
fn shared_buffers_leave_no_room_of_a_long_message_behind() {
    for role in ROLES {
        for by_ref in [false, true] {
            for (len, cut) in [(5_000, 4_500), (40_000, 20_000), (MIB, 1), (MIB, MIB / 2)] {
                let mut buffers = Buffers::new();
                let stream = to(role, FIN | BINARY, &vec![7; len]);
                let next = to(role, FIN | BINARY, &[7; 100]);
                let stream = [stream, next].concat();
                let end = stream.len() - 90;
                let (meter, mut endpoint) = counted(role);
                let idle = meter.live();
                let mut visit =
                    |bytes: &[u8]| swallow(&mut endpoint.with_buffers(&mut buffers), bytes, by_ref);
                assert_eq!(visit(&stream[..cut]), (0, 0));
                assert_eq!(visit(&stream[cut..end]), (1, len));
                assert_eq!(visit(&stream[end..]), (1, 100));
                assert_eq!(visit(&stream[..cut]), (0, 0));
                assert_eq!(visit(&stream[cut..end]), (1, len));
                drop(buffers);
                let kept = meter.live() - idle;
                assert!(kept <= 10, "{role:?} {len} by {cut}, {by_ref}: {kept}");
            }
        }
    }
}

// A peer that is a few bytes behind costs those, not the whole buffer that they were written in.
#[test]
fn shared_buffers_leave_output_that_waits_no_more_than_it_needs() {
    let mut buffers = Buffers::new();
    let large = Message::from(vec![7; 5_000]);
    for end in [&b""[..], b"end"] {
        let meter = Meter::new();
        let mut server = server();
        let mut ws = server.with_buffers(&mut buffers);
        (0..30).for_each(|_| {
            ws.outbound.queue_fragment(MessageKind::Binary, &[1; 2_000], true).unwrap()
        });
        ws.outbound.queue(large.clone()).unwrap();
        ws.outbound.queue_fragment(MessageKind::Binary, end, true).unwrap();
        let Next::Write { mut output, .. } = ws.next(|| AT(0)) else { panic!("output") };
        let all = output.slices().collect::<Vec<_>>().concat();
        let written = all.len() - 5_010;
        output.advance(written);
        drop(ws);
        let Next::Write { output, .. } = server.next(|| AT(0)) else { panic!("output") };
        let rest = output.slices().collect::<Vec<_>>().concat();
        assert!(rest == all[written..]);
        let (all, rest) = (all.capacity(), rest.capacity());
        drop(core::mem::take(&mut buffers));
        let kept = meter.live() - all - rest;
        assert!(kept <= 256, "{kept}");
    }
}

// Ten thousand of them are the reason that it stays small.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_endpoint_is_small() {
    let most = if cfg!(feature = "zlib-rs") { 760 } else { 736 };
    assert!(size_of::<Endpoint>() <= most, "{}", size_of::<Endpoint>());
    assert!(size_of::<ws_core::Connection>() <= 416, "{}", size_of::<ws_core::Connection>());
    // What is told is moved for each message: what is rare is boxed.
    assert!(size_of::<Event>() <= 48, "{}", size_of::<Event>());
    assert!(
        size_of::<Event<ws_core::message::MessageRef<'_>, &[u8]>>() <= 48,
        "{}",
        size_of::<Event<ws_core::message::MessageRef<'_>, &[u8]>>()
    );
    assert!(size_of::<Next<'_>>() <= 48, "{}", size_of::<Next<'_>>());
}

// Memory that a long message needed is kept for the next one, within bounds, and let go after a shorter one.
#[test]
fn memory_of_long_messages_is_kept_for_the_next() {
    const KEPT: usize = MIB + 128 * 1024;
    for role in ROLES {
        let (meter, mut endpoint) = counted(role);
        let long = to(role, FIN | BINARY, &vec![7; MIB]);
        let short = to(role, FIN | BINARY, &[7; 1000]);
        let echo = |endpoint: &mut Endpoint, frame: &[u8]| {
            let mut rest = frame;
            while !rest.is_empty() {
                let taken = endpoint.inbound.receive(rest);
                rest = &rest[taken..];
                while let Next::Event((event, out)) = endpoint.next_ref(|| AT(0)) {
                    let Event::Message(message) = event else { panic!("{event:?}") };
                    out.queue_ref(message).unwrap();
                }
            }
            assert!(write(endpoint, 0, usize::MAX) > frame.len() - 16);
            // The driver reads on.
            assert_ne!(endpoint.inbound.read_buf().len(), 0);
            endpoint.inbound.filled(0);
        };
        echo(&mut endpoint, &long);
        echo(&mut endpoint, &long);
        let before = meter.calls();
        echo(&mut endpoint, &long);
        assert_eq!(meter.calls(), before, "{role:?}");
        let payload = 2 * MIB..2 * KEPT;
        assert!(payload.contains(&(meter.live() - long.capacity())), "{role:?} {}", meter.live());
        drop(long);
        echo(&mut endpoint, &short);
        assert!(meter.live() <= CONSTANT, "{role:?} {}", meter.live());

        // More than that is not kept.
        echo(&mut endpoint, &to(role, FIN | BINARY, &vec![7; 3 * MIB]));
        assert!(meter.live() <= CONSTANT, "{role:?} {}", meter.live());
    }
}

// So it is when the driver takes the output away, which then has two buffers in turn.
#[test]
fn memory_of_long_batches_is_let_go_by_one_short_one() {
    let role = Role::Client;
    let (meter, mut endpoint) = counted(role);
    let long = vec![7; MIB];
    let mut batch = Output::default();
    let mut send = |endpoint: &mut Endpoint, payload: &[u8]| {
        endpoint.outbound.queue_ref(payload).unwrap();
        endpoint.outbound.take_output(&mut batch);
        assert!(batch.len() > payload.len());
        endpoint.outbound.written(batch.len());
        batch.advance(usize::MAX);
    };
    for _ in 0..3 {
        send(&mut endpoint, &long);
    }
    let kept = meter.live() - long.capacity();
    assert!((2 * MIB..3 * MIB).contains(&kept), "{kept}");
    send(&mut endpoint, &long[..1000]);
    let kept = meter.live() - long.capacity();
    assert!(kept <= 128 * 1024, "{kept}");
}

// A connection that falls silent does not keep it: the keepalive Ping finds it idle.
#[test]
fn memory_of_a_long_message_is_let_go_in_silence() {
    for role in ROLES {
        let meter = Meter::new();
        let config = Config::new().ping_interval(Some(Duration::from_secs(10)));
        let mut endpoint = open(role, config);
        let long = to(role, FIN | BINARY, &vec![7; MIB]);
        assert_eq!(swallow(&mut endpoint, &long, true), (1, MIB));
        endpoint.outbound.queue_ref(&vec![7; MIB][..]).unwrap();
        write(&mut endpoint, 0, usize::MAX);
        assert_ne!(endpoint.inbound.read_buf().len(), 0);
        endpoint.inbound.filled(0);
        drop(long);
        assert!(meter.live() >= 2 * MIB, "{role:?} {}", meter.live());
        assert!(matches!(endpoint.next(|| AT(1)), Next::Wait { .. }));
        assert!(meter.live() >= 2 * MIB, "{role:?} {}", meter.live());
        assert!(matches!(endpoint.next(|| AT(10_001)), Next::Write { .. }));
        assert!(meter.live() <= 128 * 1024, "{role:?} {}", meter.live());
    }
}
