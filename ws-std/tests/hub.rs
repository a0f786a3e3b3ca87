//! One message for many connections, some of which are slow.

mod common;
#[path = "common/slow.rs"]
mod slow;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, CloseInfo, Config, Hub, Listener, ListenerBuilder, MemberId, Transport, WebSocket,
};

/// How the connections of a server have ended.
type Ends = Arc<Mutex<BTreeMap<MemberId, Option<CloseInfo>>>>;

/// A server that says what its members say to all others.
fn relay(hub: &Hub, builder: ListenerBuilder) -> (SocketAddr, Ends) {
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (hub, ends) = (hub.clone(), Ends::default());
    let result = ends.clone();
    thread::spawn(move || {
        for incoming in listener {
            let (hub, ends) = (hub.clone(), ends.clone());
            thread::spawn(move || {
                let mut member = hub.join(incoming.unwrap().accept().unwrap()).unwrap();
                while let Ok(Some(message)) = member.read() {
                    hub.broadcast_except(member.id(), message);
                }
                ends.lock().unwrap().insert(member.id(), member.close_info());
            });
        }
    });
    (address, result)
}

/// The closing handshake has one second.
fn short_closing() -> ListenerBuilder {
    Listener::builder().config(Config::new().close_timeout(Some(Duration::from_secs(1))))
}

/// Waits until it is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < LONG, "it is not so: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A client that is a member.
fn member(hub: &Hub, address: SocketAddr) -> (Raw, MemberId) {
    let before = hub.members();
    let raw = Raw::open(address);
    until("one more member", || hub.len() == before.len() + 1);
    (raw, *hub.members().last().unwrap())
}

#[test]
fn all_others_and_one() {
    let hub = Hub::new();
    let (address, ends) = relay(&hub, Listener::builder());
    let (mut a, id_a) = member(&hub, address);
    let (mut b, id_b) = member(&hub, address);
    let (mut c, id_c) = member(&hub, address);
    assert_eq!(hub.members(), [id_a, id_b, id_c]);

    assert_eq!(hub.broadcast("all"), 3);
    assert_eq!(hub.broadcast_except(id_a, "not a"), 2);
    assert!(hub.send_to(id_c, vec![1, 2, 3]));
    assert_eq!(hub.broadcast_where(|id| id != id_b, "not b"), 2);
    a.write(&masked(TEXT, b"from a"));
    a.expect(TEXT, b"all");
    a.expect(TEXT, b"not b");
    for (raw, rest) in [(&mut b, &[][..]), (&mut c, &[(BINARY, &[1, 2, 3][..]), (TEXT, b"not b")])]
    {
        raw.expect(TEXT, b"all");
        raw.expect(TEXT, b"not a");
        rest.iter().for_each(|(first, payload)| raw.expect(*first, payload));
        raw.expect(TEXT, b"from a");
    }

    // Who leaves is out, and the others go on.
    a.write(&masked(CLOSE, &close(1000, "")));
    a.expect(CLOSE, &close(1000, ""));
    drop(a);
    until("a is out", || hub.len() == 2);
    assert!(!hub.send_to(id_a, "gone") && !hub.start_close(id_a, CloseCode::NORMAL, ""));
    drop(b);
    until("b is out", || hub.members() == [id_c]);
    assert_eq!(hub.broadcast("rest"), 1);
    assert!(hub.start_close(id_c, CloseCode::POLICY_VIOLATION, "out"));
    assert!(hub.is_empty() && hub.broadcast("nobody") == 0);
    // What was sent before comes before.
    c.expect(TEXT, b"rest");
    c.expect(CLOSE, &close(1008, "out"));
    c.write(&masked(CLOSE, &close(1008, "out")));
    assert_eq!(c.read_to_the_end().unwrap(), b"");
    drop(c);
    until("all have ended", || ends.lock().unwrap().len() == 3);
    assert!(ends.lock().unwrap()[&id_a].as_ref().unwrap().clean);
    assert!(ends.lock().unwrap()[&id_c].as_ref().unwrap().by_us);
}

// One of five hundred does not read: nobody waits for it, and it is out when its queue is full.
#[test]
fn five_hundred_and_one_of_them_stuck() {
    // Wine does what sockets are asked for one after the other.
    const COUNT: u32 = if cfg!(windows) { 100 } else { 500 };
    const ROUNDS: u32 = 200;
    let limit = 256 * 1024;
    let hub = Hub::with_limits(1024, limit);
    // It is out early, and reads only after all rounds.
    let config = Config::new().close_timeout(Some(LONG));
    let (address, ends) = relay(&hub, Listener::builder().config(config).write_timeout(None));
    let (mut stuck, stuck_id) = member(&hub, address);
    let others: Vec<_> = (1..COUNT).map(|_| Raw::open(address)).collect();
    until("all are members", || hub.len() == COUNT as usize);

    let (done, finished) = mpsc::channel();
    for mut raw in others {
        let done = done.clone();
        let reader = thread::Builder::new().stack_size(64 * 1024);
        reader
            .spawn(move || {
                for round in 0..ROUNDS {
                    raw.expect(TEXT, round.to_string().as_bytes());
                }
                done.send(raw).unwrap();
            })
            .unwrap();
    }
    // It is fed until it is full, while the others are served.
    let large = vec![0; 100_000];
    let mut fed = 0;
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let begun = Instant::now();
        if hub.send_to(stuck_id, large.clone()) {
            fed += large.len();
        }
        hub.broadcast(round.to_string());
        longest = longest.max(begun.elapsed());
        // The queues of the others have room for all rounds; this lets them read meanwhile.
        thread::sleep(Duration::from_millis(2));
    }
    assert!(!hub.send_to(stuck_id, "out"), "it took {fed} bytes");
    assert_eq!(hub.len(), COUNT as usize - 1);
    // Nothing waits for a socket: this is far less than any time-out, and far more than it takes.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let rest: Vec<_> =
        (1..COUNT).map(|_| finished.recv_timeout(LONG).expect("the others have all")).collect();
    assert_eq!(hub.broadcast("after"), rest.len());

    // It wakes up: what was written, then the reason, and no more.
    let mut got = 0;
    let end = loop {
        let frame = stuck.frame();
        if frame.first == CLOSE {
            break frame.payload;
        }
        if frame.first == BINARY {
            got += frame.payload.len();
        }
    };
    assert_eq!(end, close(1013, "too slow"));
    assert!(got <= fed && got + limit >= fed, "{got} of {fed}");
    drop(stuck);
    until("its reader has ended", || ends.lock().unwrap().contains_key(&stuck_id));
}

// It never wakes up: its threads and its socket are let go of nevertheless.
#[test]
fn a_member_that_never_reads_again_is_let_go() {
    let hub = Hub::with_limits(4, 1 << 20);
    let (address, ends) = relay(&hub, short_closing());
    let (stuck, id) = member(&hub, address);
    let large = vec![0; 1 << 20];
    until("its queue is full", || !hub.send_to(id, large.clone()));
    until("its reader has ended", || ends.lock().unwrap().contains_key(&id));
    let info = ends.lock().unwrap()[&id].clone().unwrap();
    assert!(info.by_us && !info.clean, "{info:?}");
    drop(stuck);
}

// The order is the same for all.
#[test]
fn everybody_sees_one_order() {
    const EACH: usize = 200;
    let hub = Hub::new();
    let (address, _) = relay(&hub, Listener::builder());
    let mut members: Vec<_> = (0..8).map(|_| member(&hub, address).0).collect();
    let speakers: Vec<_> = (0..4)
        .map(|speaker| {
            let hub = hub.clone();
            thread::spawn(move || {
                for at in 0..EACH {
                    assert_eq!(hub.broadcast(format!("{speaker} {at}")), 8);
                }
            })
        })
        .collect();
    speakers.into_iter().for_each(finish);
    let mut heard: Vec<Vec<_>> = members
        .iter_mut()
        .map(|raw| (0..4 * EACH).map(|_| raw.frame().payload).collect())
        .collect();
    let first = heard.remove(0);
    assert!(heard.iter().all(|other| *other == first));
}

/// A stream that shows by the count of its token how many handles there are.
struct Counted(TcpStream, Arc<()>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?, self.1.clone()))
    }
}

// A member that is dropped says goodbye, and its thread lets go of the stream.
#[test]
fn a_member_leaves_by_being_dropped() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Raw::connect(listener.local_addr().unwrap());
    let token = Arc::new(());
    let stream = Counted(listener.accept().unwrap().0, token.clone());
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let member = hub.join(WebSocket::from_endpoint(endpoint, stream)).unwrap();
    assert_eq!((hub.len(), member.hub().len()), (1, 1));
    assert!(Arc::strong_count(&token) > 1);
    let leaving = thread::spawn(move || drop(member));
    client.expect(CLOSE, &close(1001, ""));
    drop(client);
    finish(leaving);
    assert!(hub.is_empty());
    until("its thread has ended", || Arc::strong_count(&token) == 1);
}

// What waits for it comes before the Close frame, and what its peer still says is dropped.
// As `WebSocket::close`, which does not obey the time-out of a read either.
#[test]
fn a_member_waits_for_the_peer_to_close_whatever_the_time_out_of_a_read_is() {
    let (ws, mut client) = open(Listener::builder().read_timeout(Some(Duration::from_millis(1))));
    let mut member = Hub::new().join(ws).unwrap();
    let peer = thread::spawn(move || {
        let close = client.frame();
        // Longer than the time-out of a read.
        thread::sleep(Duration::from_millis(50));
        client.write(&masked(CLOSE, &close.payload));
        client.read_to_the_end()
    });
    let how = member.close(1000, "bye").unwrap();
    assert!(how.clean, "{how:?}");
    finish(peer).unwrap();
}

#[test]
fn a_member_closes_its_connection() {
    let cases = [
        (CloseCode::POLICY_VIOLATION, "out".to_owned(), close(1008, "out")),
        (CloseCode::new(1004), String::new(), close(1011, "")),
        (CloseCode::NORMAL, "x".repeat(124), close(1011, "")),
    ];
    for (code, reason, expected) in cases {
        let hub = Hub::new();
        let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inside = hub.clone();
        let server = thread::spawn(move || {
            let mut member = inside.join(listener.accept().unwrap().accept().unwrap()).unwrap();
            inside.broadcast("last words");
            let info = member.close(code, &reason).unwrap();
            // Once more changes nothing.
            assert_eq!(member.close(CloseCode::NORMAL, "").unwrap(), info);
            info
        });
        let mut client = Raw::open(address);
        client.write(&masked(TEXT, b"too late"));
        client.expect(TEXT, b"last words");
        client.expect(CLOSE, &expected);
        assert!(hub.is_empty());
        client.write(&masked(CLOSE, &expected));
        assert_eq!(client.read_to_the_end().unwrap(), b"");
        drop(client);
        let info = finish(server);
        assert!(info.clean && info.by_us, "{info:?}");
        assert_eq!(close(info.code.get(), &info.reason), expected);
    }
}

// A peer that does not read is not heard any more either, although the Close frame cannot reach it.
#[test]
fn who_is_out_is_not_heard() {
    let hub = Hub::with_limits(1024, 64 << 20);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (inside, log) = (hub.clone(), heard.clone());
    let (address, server) = serve(Listener::builder(), move |incoming| {
        let mut member = inside.join(incoming.accept().unwrap()).unwrap();
        while let Ok(Some(message)) = member.read() {
            log.lock().unwrap().push(message.as_text().unwrap().to_owned());
        }
    });
    let (mut raw, id) = member(&hub, address);
    raw.write(&masked(TEXT, b"before"));
    until("it is heard", || heard.lock().unwrap().len() == 1);
    // More than the system holds, less than the limit: the thread that writes is stuck.
    for _ in 0..20 {
        assert!(hub.send_to(id, vec![0; 1 << 20]));
    }
    assert!(hub.start_close(id, CloseCode::POLICY_VIOLATION, "out"));
    raw.write(&masked(TEXT, b"after"));
    // For a while, it is not heard.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(*heard.lock().unwrap(), ["before"]);
    // When it reads, it gets all that was sent before, and why it is out.
    while raw.frame().first != CLOSE {}
    raw.write(&masked(CLOSE, &close(1008, "out")));
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    drop(raw);
    finish(server);
    assert_eq!(*heard.lock().unwrap(), ["before"]);
}

// One that takes a little now and then, so that no write times out, is gone nevertheless.
#[test]
fn who_is_out_cannot_stay_by_reading_slowly() {
    let hub = Hub::with_limits(1024, 64 << 20);
    let (address, ends) = relay(&hub, short_closing());
    let (mut raw, id) = member(&hub, address);
    for _ in 0..32 {
        assert!(hub.send_to(id, vec![0; 1 << 20]));
    }
    let begun = Instant::now();
    assert!(hub.start_close(id, CloseCode::POLICY_VIOLATION, "out"));
    let mut piece = [0; 2000];
    while !ends.lock().unwrap().contains_key(&id) {
        // Five seconds for its queue, one for the closing handshake, and one until its reader looks.
        assert!(begun.elapsed() < Duration::from_secs(10), "it is still there");
        let _ = raw.stream.read(&mut piece);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!ends.lock().unwrap()[&id].as_ref().unwrap().clean);
}

#[test]
fn what_waits_comes_before_the_goodbye_of_a_shutdown() {
    const COUNT: usize = 16;
    let hub = Hub::with_limits(1024, 64 << 20);
    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let ours = hub.clone();
    let server = thread::spawn(move || {
        let mut listener = listener;
        let mut member = ours.join(listener.next().unwrap().unwrap().accept().unwrap()).unwrap();
        let reading = thread::spawn(move || {
            while member.read().unwrap().is_some() {}
            member.close_info().unwrap().clone()
        });
        assert!(listener.next().is_none());
        finish(reading)
    });
    let (mut raw, id) = member(&hub, address);
    for n in 0..COUNT {
        assert!(hub.send_to(id, vec![n as u8; 1 << 20]));
    }
    handle.shutdown(LONG);
    // It does not read at once.
    until("the member has left", || hub.is_empty());
    for n in 0..COUNT {
        raw.expect(BINARY, &vec![n as u8; 1 << 20]);
    }
    raw.expect(CLOSE, &close(1001, ""));
    raw.write(&masked(CLOSE, &close(1001, "")));
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    assert!(finish(server).clean);
}

// What waits has a part of the time; the rest is for the goodbye.
#[test]
fn a_member_that_takes_nothing_does_not_prolong_a_shutdown() {
    let hub = Hub::with_limits(1024, 64 << 20);
    let builder = Listener::builder().write_timeout(None);
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let ours = hub.clone();
    let server = thread::spawn(move || {
        let mut listener = listener;
        let mut member = ours.join(listener.next().unwrap().unwrap().accept().unwrap()).unwrap();
        let reading = thread::spawn(move || while let Ok(Some(_)) = member.read() {});
        assert!(listener.next().is_none());
        finish(reading);
    });
    let (_raw, id) = member(&hub, address);
    for _ in 0..32 {
        assert!(hub.send_to(id, vec![0; 1 << 20]));
    }
    let begun = Instant::now();
    handle.shutdown(Duration::from_secs(1));
    finish(server);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Reads a little now and then, so that no write times out, until the member is gone.
fn read_slowly(raw: &mut Raw, begun: Instant, limit: Duration, is_gone: impl Fn() -> bool) {
    let mut piece = [0; slow::PIECE];
    raw.stream.set_read_timeout(Some(slow::PAUSE)).unwrap();
    while !is_gone() {
        assert!(begun.elapsed() < limit, "it is still there");
        let _ = raw.stream.read(&mut piece);
        thread::sleep(slow::PAUSE);
    }
}

// Its reader looks at the time whenever it is about to wait, not only when the application calls it.
#[test]
fn who_is_too_slow_is_gone_in_time_although_it_talks() {
    const CLOSING: Duration = Duration::from_secs(2);
    let builder = Listener::builder().config(Config::new().close_timeout(Some(CLOSING)));
    let (listener, client) = slow::small(builder, slow::SLOW_BUFFER);
    let hub = Hub::new();
    let ours = hub.clone();
    let server = thread::spawn(move || {
        let mut member = ours.join(listener.accept().unwrap().accept().unwrap()).unwrap();
        while let Ok(Some(_)) = member.read() {}
    });
    let mut raw = finish(client);
    until("it is a member", || hub.len() == 1);
    let id = hub.members()[0];
    assert!(hub.send_to(id, vec![0; 4 << 20]));
    assert!(!hub.send_to(id, "more"));
    let begun = Instant::now();
    read_slowly(&mut raw, begun, LONG, || begun.elapsed() >= CLOSING * 9 / 10);
    raw.write(&masked(PING, b"here"));
    read_slowly(&mut raw, begun, CLOSING * 3 / 2, || server.is_finished());
    finish(server);
}

// What waits for it need not come from the hub.
#[test]
fn who_is_out_cannot_stay_by_reading_pongs_slowly() {
    let (listener, client) = slow::small(short_closing(), slow::SLOW_BUFFER);
    let hub = Hub::new();
    let ours = hub.clone();
    let server = thread::spawn(move || {
        let mut member = ours.join(listener.accept().unwrap().accept().unwrap()).unwrap();
        while let Ok(Some(_)) = member.read() {}
    });
    let mut raw = finish(client);
    until("it is a member", || hub.len() == 1);
    let pings = masked(PING, &[0; 125]).repeat(1000);
    (0..60).for_each(|_| raw.write(&pings));
    assert!(hub.start_close(hub.members()[0], CloseCode::POLICY_VIOLATION, "out"));
    // Five seconds for what waits, one for the closing handshake, and the machine's.
    read_slowly(&mut raw, Instant::now(), Duration::from_secs(10), || server.is_finished());
    finish(server);
}

#[test]
fn a_member_knows_its_request_and_its_peer_and_sends_to_itself() {
    let hub = Hub::new();
    let (mut client, server) = ws_std::pair().unwrap();
    let member = hub.join(server).unwrap();
    assert_eq!(member.request().unwrap().path(), "/");
    assert!(member.send("for you alone"));
    assert_eq!(client.read().unwrap().unwrap(), "for you alone");
    assert!(hub.start_close(member.id(), CloseCode::NORMAL, ""));
    assert!(!member.send("too late"));

    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || Raw::open(address));
    let member = hub.join(listener.accept().unwrap().accept().unwrap()).unwrap();
    let client = client.join().unwrap();
    let peer = member.stream().get_ref().peer_addr().unwrap();
    assert_eq!(peer, client.stream.local_addr().unwrap());
}
