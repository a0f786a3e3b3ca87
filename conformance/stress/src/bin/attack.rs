//! Attacks on a server over real sockets, with bounded counts, while honest clients talk to it. Each check prints one line
//! with what it has measured. The exit status is 1 if one fails.
//!
//! `attack [NAME]...` runs all checks, or those whose names are given.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ws_std::rustls::ClientConfig;
use ws_std::{CloseCode, Connector};
use ws_stress::honest::Honest;
use ws_stress::peer::{BINARY, CLOSE, Exit, PING, Peer, TEXT, crowd, frame, request};
use ws_stress::process::Server;
use ws_stress::service::{self, CLOSING, HANDSHAKE, PATIENCE, SHUTDOWN};
use ws_stress::{Numbers, Outcome};

type Check = fn() -> Outcome;

const CHECKS: [(&str, Check); 14] = [
    ("slow-heads", slow_heads),
    ("unfinished-handshakes", unfinished_handshakes),
    ("never-reads", never_reads),
    ("never-answers-close", never_answers_close),
    ("leaves-in-every-state", leaves_in_every_state),
    ("vanishes-in-every-state", vanishes_in_every_state),
    ("tls-garbage", tls_garbage),
    ("descriptors", descriptors),
    ("panicking-handlers", panicking_handlers),
    ("stuck-member", stuck_member),
    ("shutdown-under-load", shutdown_under_load),
    ("burst", burst),
    ("burst-std-backlog", burst_std_backlog),
    ("unwelcome-bytes", unwelcome_bytes),
];

/// What the end of a connection may take beyond its time-out, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// The most memory that a server may use, in MiB.
const MOST: u64 = 200;
/// The same if each of 40 peers leaves several megabytes of output unread.
const MOST_UNREAD: u64 = 500;
/// What the figures of a check begin with if this machine cannot fail it.
const NOT_RUN: &str = "not run";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        service::serve(&arguments);
        return ExitCode::SUCCESS;
    }
    let (begun, mut failed, mut not_run, mut count) = (Instant::now(), 0, 0, 0);
    for (name, check) in CHECKS {
        if !arguments.is_empty() && !arguments.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let result = std::panic::catch_unwind(check).unwrap_or_else(|_| Err("a panic".to_owned()));
        let (verdict, detail) = match result {
            Ok(figures) if figures.starts_with(NOT_RUN) => (NOT_RUN, figures),
            Ok(figures) => ("ok", figures),
            Err(fault) => ("FAIL", fault),
        };
        count += 1;
        failed += u32::from(verdict == "FAIL");
        not_run += u32::from(verdict == NOT_RUN);
        println!("{verdict:<7} {:>8.3} s  {name}: {detail}", start.elapsed().as_secs_f64());
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{} ok, {failed} failed, {not_run} not run, in {took:.1} s", count - failed - not_run);
    if failed == 0 && count > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs an attack beside honest clients. Then waits until the server has nothing left of either.
fn beside(server: &Server, attack: impl FnOnce() -> Result<String, String>) -> Outcome {
    among(server, Honest::beside(server.address), MOST, attack)
}

/// The same for a server over TLS.
fn beside_over_tls(server: &Server, attack: impl FnOnce() -> Result<String, String>) -> Outcome {
    let connector = Connector::builder().tls(service::trusting());
    let url = format!("wss://localhost:{}/", server.address.port());
    among(server, Honest::start(&connector, &url), MOST, attack)
}

fn among(
    server: &Server,
    honest: Honest,
    most: u64,
    attack: impl FnOnce() -> Result<String, String>,
) -> Outcome {
    let figures = attack();
    let latency = honest.latency();
    let figures = format!("{}{}", figures?, latency?);
    let settled = server.settle(HANDSHAKE + SLACK)?;
    let peak = server.usage().ok_or("the server has ended")?.peak_kib / 1024;
    let figures = format!(
        "{figures}; nothing left after {:.1} s, {peak} MiB at the peak",
        settled.as_secs_f64()
    );
    if peak > most { Err(format!("too much memory: {figures}")) } else { Ok(figures) }
}

fn connect(server: &Server) -> Result<Peer, String> {
    Peer::connect(server.address).map_err(|error| format!("connect: {error}"))
}

fn open(server: &Server, path: &str) -> Result<Peer, String> {
    Peer::open(server.address, path).map_err(|error| format!("open {path}: {error}"))
}

/// 500 clients that send a head byte by byte, and never end it.
fn slow_heads() -> Outcome {
    const COUNT: usize = 500;
    let server = Server::start(&[], None);
    beside(&server, || {
        let mut peers = (0..COUNT).map(|_| connect(&server)).collect::<Result<Vec<_>, _>>()?;
        let head = request("/");
        let (begun, mut checked) = (Instant::now(), false);
        for byte in &head[..head.len() - 1] {
            for peer in &mut peers {
                // The server may have ended it.
                let _ = peer.tcp.write_all(&[*byte]);
            }
            thread::sleep(Duration::from_millis(30));
            if !checked && begun.elapsed() > HANDSHAKE - Duration::from_millis(300) {
                peers.iter().try_for_each(|peer| peer.is_kept_for(HANDSHAKE))?;
                checked = true;
            }
            if begun.elapsed() > HANDSHAKE + Duration::from_secs(1) {
                break;
            }
        }
        // If the time-out began anew with each byte, they would end later.
        for peer in &mut peers {
            peer.wait_for_end(HANDSHAKE - Duration::from_secs(1))?;
            peer.is_kept_for(HANDSHAKE)?;
        }
        Ok(format!("{COUNT} ended by the server; "))
    })
}

/// Waits until the server has ended these connections, none before the time-out of the opening handshake.
fn end_at_their_timeout(peers: &mut [Peer]) -> Result<(), String> {
    let oldest = peers.first().map_or(HANDSHAKE, Peer::age);
    thread::sleep((HANDSHAKE - Duration::from_millis(300)).saturating_sub(oldest));
    peers.iter().try_for_each(|peer| peer.is_kept_for(HANDSHAKE))?;
    for peer in peers {
        peer.wait_for_end(HANDSHAKE + SLACK)?;
        peer.is_kept_for(HANDSHAKE)?;
    }
    Ok(())
}

/// 2,000 clients that send nothing, a part of a head, or garbage that may still become one.
fn unfinished_handshakes() -> Outcome {
    const COUNT: usize = 2000;
    let server = Server::start(&[], None);
    beside(&server, || {
        let head = request("/");
        let peers = Mutex::new(Vec::new());
        crowd(COUNT, 8, |n| {
            let mut peer = connect(&server)?;
            peer.tcp.write_all(&head[..n % (head.len() - 1)]).map_err(|error| error.to_string())?;
            peers.lock().expect("a lock").push(peer);
            Ok(())
        })?;
        end_at_their_timeout(&mut peers.lock().expect("a lock"))?;
        Ok(format!("{COUNT} ended by the server; "))
    })
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Peers that ask for more than all buffers hold, and read nothing of it.
fn never_reads() -> Outcome {
    const COUNT: usize = 40;
    let server = Server::start(&[], None);
    among(&server, Honest::beside(server.address), MOST_UNREAD, || {
        crowd(COUNT, COUNT, |n| {
            let mut peer = open(&server, ["/", "/split", "/stream", "/lend"][n % 4])?;
            let message = frame(BINARY, &vec![n as u8; 1 << 20]);
            let _ = peer.tcp.set_write_timeout(Some(Duration::from_millis(100)));
            let (begun, mut sent) = (Instant::now(), 0);
            // A Ping and its time-out, or that of a write, and the closing handshake.
            while begun.elapsed() < 2 * PATIENCE + CLOSING + SLACK {
                match peer.tcp.write(&message[sent % message.len()..]) {
                    Ok(count) => sent += count,
                    Err(error) if is_timeout(&error) => {}
                    Err(_) if begun.elapsed() < PATIENCE => {
                        return Err(format!("ended after {:?} already", begun.elapsed()));
                    }
                    Err(_) => return Ok(()),
                }
            }
            Err("the server still keeps a peer that does not read".to_owned())
        })?;
        Ok(format!("{COUNT} ended by the server; "))
    })
}

/// Peers that are told to close, and do nothing.
fn never_answers_close() -> Outcome {
    const COUNT: usize = 100;
    let server = Server::start(&[], None);
    beside(&server, || {
        crowd(COUNT, COUNT, |_| {
            let mut peer = open(&server, "/close")?;
            let code = peer.close_code().map_err(|error| error.to_string())?;
            if code != 1000 {
                return Err(format!("Close with {code}"));
            }
            peer.wait_for_end(CLOSING + SLACK)?;
            peer.is_kept_for(CLOSING)
        })?;
        Ok(format!("{COUNT} ended by the server; "))
    })
}

/// What a peer has sent when it goes: what it is called, the path that it has opened, if any, and what it sends then.
type State = (&'static str, Option<&'static str>, Vec<u8>);

/// Before, in and after everything.
fn every_state() -> Vec<State> {
    let head = request("/");
    let opened = [
        ("open", vec![]),
        ("in a header", frame(TEXT, &[7; 300])[..2].to_vec()),
        ("in a mask", frame(TEXT, &[7; 300])[..5].to_vec()),
        ("in a payload", frame(TEXT, &[b'a'; 300])[..200].to_vec()),
        ("in a long payload", frame(BINARY, &vec![7; 2 << 20])[..1 << 20].to_vec()),
        ("between fragments", frame(0x01, b"half")),
        ("after a message", frame(TEXT, b"hello")),
        ("after a long message", frame(BINARY, &vec![7; 3 << 20])),
        ("after a Ping", frame(PING, b"hello")),
        ("after a Close", frame(CLOSE, &[3, 232])),
        ("in a Close", frame(CLOSE, &[3, 232])[..7].to_vec()),
        ("after a fault", vec![0xff; 100]),
        ("after many messages", frame(TEXT, b"hello").repeat(2000)),
    ];
    let mut states = vec![
        ("before the head", None, vec![]),
        ("in the head", None, head[..40].to_vec()),
        ("after the head", None, head),
        ("after a bad head", None, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec()),
    ];
    for path in ["/", "/split", "/stream", "/lend", "/hub", "/close"] {
        states.extend(opened.iter().map(|(name, bytes)| (*name, Some(path), bytes.clone())));
    }
    states
}

/// A peer in this state, inside of TLS if there is a configuration for it.
fn peer_in(server: &Server, tls: Tls<'_>, (name, path, bytes): &State) -> Result<Peer, String> {
    let connect = || {
        let mut peer = match tls {
            None => Peer::connect(server.address),
            Some(config) => Peer::connect_tls(server.address, config.clone()),
        }?;
        path.map_or(Ok(()), |path| peer.upgrade(path))?;
        Ok(peer)
    };
    let mut peer = connect().map_err(|error: io::Error| format!("{name}, {path:?}: {error}"))?;
    let _ = peer.tcp.set_write_timeout(Some(Duration::from_millis(200)));
    let _ = peer.write(bytes);
    Ok(peer)
}

type Tls<'c> = Option<&'c Arc<ClientConfig>>;

/// Does this to a server without TLS, and then to one with it.
fn without_and_over_tls(attack: impl Fn(&Server, Tls<'_>) -> Outcome) -> Outcome {
    let plain = Server::start(&[], None);
    let without = beside(&plain, || attack(&plain, None))?;
    let server = Server::start(&["--tls"], None);
    let over = beside_over_tls(&server, || attack(&server, Some(&service::trusting())))
        .map_err(|error| format!("over TLS: {error}"))?;
    Ok(format!("{without}; over TLS: {over}"))
}

/// Peers that leave by FIN, by RST and by half a close.
fn leaves_in_every_state() -> Outcome {
    const HOW: [Exit; 3] = [Exit::Fin, Exit::Reset, Exit::HalfClose];
    let states = every_state();
    without_and_over_tls(|server, tls| {
        let count = states.len() * HOW.len() * if tls.is_none() { 6 } else { 1 };
        crowd(count, 16, |n| {
            let (state, how) = (&states[n % states.len()], HOW[n / states.len() % HOW.len()]);
            match peer_in(server, tls, state)?.exit(how) {
                None => Ok(()),
                Some(mut peer) => peer
                    .wait_for_end(HANDSHAKE + SLACK)
                    .map_err(|error| format!("{}, {:?}, {how:?}: {error}", state.0, state.1)),
            }
        })?;
        Ok(format!("{count} departures; "))
    })
}

/// Peers that neither read nor write any more, and whose connections stay open. The server ends its side of each.
fn vanishes_in_every_state() -> Outcome {
    let states = every_state();
    let vanished = Mutex::new(Vec::new());
    without_and_over_tls(|server, tls| {
        let count = states.len() * if tls.is_none() { 3 } else { 1 };
        crowd(count, 16, |n| {
            let peer = peer_in(server, tls, &states[n % states.len()])?;
            vanished.lock().expect("a lock").push(peer);
            Ok(())
        })?;
        Ok(format!("{count} vanished; "))
    })
}

/// Peers that break TLS in the handshake and after it, beside honest clients over TLS.
fn tls_garbage() -> Outcome {
    const COUNT: usize = 300;
    let server = Server::start(&["--tls"], None);
    let trusting = service::trusting();
    let open = ("open", Some("/"), Vec::new());
    beside_over_tls(&server, || {
        crowd(COUNT, 16, |n| {
            let mut numbers = Numbers::new(n as u64);
            let mut peer = match n % 4 {
                0 => peer_in(&server, Some(&trusting), &open)?,
                _ => connect(&server)?,
            };
            let len = 1 + numbers.below(3000);
            let bytes = numbers.bytes(len);
            let garbage = match n % 5 {
                0 => bytes,
                1 => request("/"),
                // The header of a record that carries a ClientHello, and something else in it.
                2 => [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &bytes].concat(),
                3 => [&[22, 3, 1, 0x40, 0][..], &bytes].concat(),
                _ => [&[23, 3, 3, 0, 16][..], &bytes].concat(),
            };
            let _ = peer.tcp.write_all(&garbage);
            match peer.exit([Exit::Fin, Exit::Reset, Exit::HalfClose][n % 3]) {
                None => Ok(()),
                Some(mut peer) => peer.wait_for_end(HANDSHAKE + SLACK),
            }
        })?;
        Ok(format!("{COUNT} broken, a fourth of them after the handshakes; "))
    })
}

/// More connections than the server has descriptors: who is connected is served, and when some leave, others are.
fn descriptors() -> Outcome {
    const LIMIT: usize = 64;
    let server = Server::start(&[], Some(LIMIT));
    beside(&server, || {
        let mut early = open(&server, "/")?;
        let held = (0..2 * LIMIT).map(|_| connect(&server)).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        while server.usage().ok_or("the server has ended")?.descriptors < LIMIT {
            if begun.elapsed() > SLACK {
                return Err("the descriptors were not exhausted".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
        early.tcp.write_all(&frame(TEXT, b"hello")).map_err(|error| error.to_string())?;
        let answer = early.frame().map_err(|error| error.to_string())?;
        if answer != (TEXT, b"hello".to_vec()) {
            return Err(format!("{answer:?}"));
        }
        drop(held);
        let begun = Instant::now();
        drop(open(&server, "/")?);
        let took = begun.elapsed().as_secs_f64();
        Ok(format!("{LIMIT} descriptors exhausted, a client was served {took:.2} s after; "))
    })
}

/// Handlers that panic: each client is told, and no other one notices.
fn panicking_handlers() -> Outcome {
    const COUNT: usize = 200;
    let server = Server::start(&[], None);
    beside(&server, || {
        crowd(COUNT, 8, |n| {
            if n % 4 == 0 {
                let mut peer = connect(&server)?;
                let _ = peer.tcp.write_all(&request("/panic-request"));
                let head = peer.head().map_err(|error| error.to_string())?;
                if !head.starts_with("HTTP/1.1 500 ") {
                    return Err(head);
                }
                return peer.wait_for_end(SLACK);
            }
            let mut peer = open(&server, "/panic")?;
            let _ = peer.tcp.write_all(&frame(TEXT, b"hello"));
            let code = peer.close_code().map_err(|error| error.to_string())?;
            if code != 1011 {
                return Err(format!("Close with {code}"));
            }
            peer.wait_for_end(SLACK)
        })?;
        Ok(format!("{COUNT} told by 1011 or 500; "))
    })
}

/// One member of a hub reads nothing: the others get everything in order, and it is removed.
fn stuck_member() -> Outcome {
    const MEMBERS: usize = 12;
    const MESSAGES: usize = 1500;
    let server = Server::start(&[], None);
    beside(&server, || {
        let stuck = open(&server, "/hub")?;
        let mut members =
            (0..MEMBERS).map(|_| open(&server, "/hub")).collect::<Result<Vec<_>, _>>()?;
        let mut speaker = open(&server, "/hub")?;
        let text = |n: usize| format!("{n:08}{}", "x".repeat(8000)).into_bytes();
        thread::scope(|scope| {
            let listening: Vec<_> = members
                .iter_mut()
                .map(|member| {
                    scope.spawn(move || {
                        for n in 0..MESSAGES {
                            let (first, payload) = loop {
                                match member.frame().map_err(|error| error.to_string())? {
                                    (PING, _) => {}
                                    frame => break frame,
                                }
                            };
                            if (first, &payload) != (TEXT, &text(n)) {
                                return Err(format!("message {n} is wrong: {first:x}"));
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            for n in 0..MESSAGES {
                speaker.tcp.write_all(&frame(TEXT, &text(n))).map_err(|error| error.to_string())?;
                if n % 8 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
            }
            listening.into_iter().try_for_each(|member| member.join().map_err(|_| "a panic")?)
        })?;
        speaker.tcp.write_all(&frame(TEXT, b"count")).map_err(|error| error.to_string())?;
        let count = loop {
            let (first, count) = speaker.frame().map_err(|error| error.to_string())?;
            if first == TEXT {
                break String::from_utf8_lossy(&count).into_owned();
            }
        };
        if count != (MEMBERS + 1).to_string() {
            return Err(format!("the hub has {count} members, the stuck one among them"));
        }
        drop(stuck);
        Ok(format!("{MESSAGES} messages for each of {MEMBERS} members, the stuck one removed; "))
    })
}

/// A shutdown while clients talk, and beside peers that do nothing: the server ends in time.
fn shutdown_under_load() -> Outcome {
    let mut server = Server::start(&[], None);
    let address = server.address;
    let silent = (0..50).map(|_| open(&server, "/")).collect::<Result<Vec<_>, _>>()?;
    let unfinished = (0..50).map(|_| connect(&server)).collect::<Result<Vec<_>, _>>()?;
    let talking: Vec<_> = (0..16)
        .map(|n| {
            thread::spawn(move || -> Result<Option<CloseCode>, String> {
                let path = ["/", "/split", "/stream", "/lend"][n % 4];
                let mut ws = ws_std::connect(&format!("ws://{address}{path}"))
                    .map_err(|error| error.to_string())?;
                let message = ws_std::Message::from(vec![n as u8; 10_000]);
                loop {
                    if ws.send(message.clone()).is_err() {
                        break;
                    }
                    match ws.read() {
                        Ok(Some(answer)) if answer == message => {}
                        Ok(Some(_)) => return Err("a wrong answer".to_owned()),
                        Ok(None) | Err(_) => break,
                    }
                }
                while let Ok(Some(_)) = ws.read() {}
                Ok(ws.close_info().map(|how| how.code))
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let (status, took) = server.shut_down(SHUTDOWN + SLACK)?;
    let mut told = 0;
    for client in talking {
        let code = client.join().map_err(|_| "a panic")??;
        told += usize::from(code == Some(CloseCode::GOING_AWAY));
    }
    drop((silent, unfinished));
    if !status.success() {
        return Err(format!("the server ended with {status}"));
    }
    if told != 16 {
        return Err(format!("only {told} of 16 clients were told by 1001"));
    }
    Ok(format!("ended after {:.2} s, {told} of 16 talking clients got 1001", took.as_secs_f64()))
}

fn burst() -> Outcome {
    connects(&[])
}

/// The same with the backlog of the standard library, to compare.
fn burst_std_backlog() -> Outcome {
    connects(&["--std-backlog"])
}

/// A thousand clients that connect at the same moment, and the opening handshake of each.
fn connects(arguments: &[&str]) -> Outcome {
    const COUNT: usize = 1000;
    // A client that finds no room tries again after a second.
    const LATE: Duration = Duration::from_millis(900);
    let server = Server::start(arguments, None);
    let dropped = dropped_by_backlogs()?;
    let (connects, opens) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let start = Barrier::new(COUNT);
    crowd(COUNT, COUNT, |_| {
        start.wait();
        let begun = Instant::now();
        let mut peer = connect(&server)?;
        connects.lock().expect("a lock").push(begun.elapsed());
        peer.tcp.write_all(&request("/")).map_err(|error| error.to_string())?;
        let head = peer.head().map_err(|error| format!("no answer: {error}"))?;
        opens.lock().expect("a lock").push(begun.elapsed());
        if head.starts_with("HTTP/1.1 101 ") { Ok(()) } else { Err(head) }
    })?;
    server.settle(HANDSHAKE + SLACK)?;
    let dropped = dropped_by_backlogs()? - dropped;
    let room =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").map_err(|e| e.to_string())?;
    let room: usize = room.trim().parse().map_err(|_| "no number in somaxconn")?;
    // The machine counts for all of its listeners, so this may be another one's, unless a client had to try again.
    let late = |time: &Duration| *time > LATE;
    let checked = arguments.is_empty() && room >= COUNT;
    if checked && dropped > 0 && connects.lock().expect("a lock").iter().any(late) {
        return Err(format!("the backlog had no room {dropped} times for {COUNT} connects"));
    }
    let figures = |times: Mutex<Vec<Duration>>| {
        let mut times = times.into_inner().expect("a lock");
        times.sort();
        let late = times.iter().filter(|time| late(time)).count();
        let ms = |part: usize| times[(COUNT - 1) * part / 100].as_secs_f64() * 1e3;
        let [median, p99, longest] = [ms(50), ms(99), ms(100)];
        format!(
            "median {median:.0} ms, p99 {p99:.0} ms, longest {longest:.0} ms, {late} over 0.9 s"
        )
    };
    let small = match checked || !arguments.is_empty() {
        true => String::new(),
        false => format!("{NOT_RUN}, because net.core.somaxconn is {room}: "),
    };
    Ok(format!(
        "{small}{COUNT} connects at once, {dropped} times without room in the backlog: {}; open: {}",
        figures(connects),
        figures(opens)
    ))
}

/// How often a listener of this machine had no room for a connection. The client tries again after a second.
fn dropped_by_backlogs() -> Result<u64, String> {
    let counts = std::fs::read_to_string("/proc/net/netstat").map_err(|error| error.to_string())?;
    let mut rows = counts.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let names = rows.next().unwrap_or_default().split(' ');
    let mut counts = names.zip(rows.next().unwrap_or_default().split(' '));
    let found = counts.find(|(name, _)| *name == "ListenOverflows");
    found.and_then(|(_, count)| count.parse().ok()).ok_or("no ListenOverflows".to_owned())
}

/// Bytes that are no request and no frames.
fn unwelcome_bytes() -> Outcome {
    const COUNT: usize = 600;
    let server = Server::start(&[], None);
    beside(&server, || {
        crowd(COUNT, 16, |n| {
            let mut numbers = Numbers::new(n as u64);
            let mut peer = if n % 2 == 0 {
                connect(&server)?
            } else {
                open(&server, ["/", "/split", "/stream", "/lend", "/hub"][n % 5])?
            };
            let len = 1 + numbers.below(20_000);
            let _ = peer.tcp.write_all(&numbers.bytes(len));
            let _ = peer.tcp.shutdown(std::net::Shutdown::Write);
            peer.wait_for_end(HANDSHAKE + SLACK)
        })?;
        Ok(format!("{COUNT} ended by the server; "))
    })
}
