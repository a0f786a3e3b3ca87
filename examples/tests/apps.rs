//! The applications as several clients see them. Every wait is bounded.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use support::*;
use ws_std::deflate::Compression;
use ws_std::ws_core::frame::OpCode;
use ws_std::{CloseCode, Connector, Deadline, Error, Message, Traced, WebSocket};

const FREE: &str = "127.0.0.1:0";

/// A client whose `read` does not wait for ever.
fn client(url: &str) -> WebSocket {
    Connector::builder().read_timeout(Some(LONG)).connect(url).unwrap()
}

/// A client that the server has begun to read from: it has answered a Ping.
fn reader(url: &str) -> WebSocket {
    let ponged = Arc::new(AtomicBool::new(false));
    let seen = ponged.clone();
    let connector = Connector::builder().read_timeout(Some(Duration::from_millis(10)));
    let mut ws = connector
        .trace(move |trace| {
            let is_pong =
                matches!(trace.what, Traced::Frame(header, _) if header.opcode == OpCode::Pong);
            seen.fetch_or(is_pong, Ordering::Relaxed);
        })
        .connect(url)
        .unwrap();
    ws.ping(b"").unwrap();
    let begun = Instant::now();
    while !ponged.load(Ordering::Relaxed) {
        assert!(begun.elapsed() < LONG, "no Pong");
        assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    }
    ws.set_read_timeout(Some(LONG));
    ws
}

fn text(ws: &mut WebSocket) -> String {
    ws.read().unwrap().expect("a message").as_text().expect("a text").to_owned()
}

/// The texts that several clients get next, and when, until each has so many.
fn texts(clients: Vec<WebSocket>, count: usize) -> Vec<Vec<(String, Instant)>> {
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut ws| {
            thread::spawn(move || {
                (0..count).map(|_| (text(&mut ws), Instant::now())).collect::<Vec<_>>()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// What all have got, each thing at the same moment, give or take less than an interval.
fn in_common(heard: &[Vec<(String, Instant)>], interval: Duration) -> Vec<String> {
    let (first, others) = heard.split_first().unwrap();
    let mut common = Vec::new();
    for (text, when) in first {
        let theirs: Vec<_> = others
            .iter()
            .filter_map(|other| other.iter().find(|(other, _)| other == text))
            .collect();
        if theirs.len() == others.len() {
            for (_, other) in theirs {
                let apart = other.max(when).duration_since(*other.min(when));
                assert!(apart < interval, "{text} came {apart:?} apart");
            }
            common.push(text.clone());
        }
    }
    common
}

#[test]
fn clock_sends_one_time_to_all_and_the_next_to_who_comes_late() {
    let interval = Duration::from_millis(500);
    let server = Server::start("clock", &[FREE, "--every", "500ms"]);
    let mut early = vec![client(&server.url_of("/ws")), client(&server.url_of("/ws"))];
    text(&mut early[0]);
    let joined = SystemTime::now();
    early.push(client(&server.url_of("/ws")));
    let heard = texts(early, 5);
    let common = in_common(&heard, interval);
    assert!(common.len() >= 3, "{heard:?}");

    let time = |text: &str| humantime::parse_rfc3339(text).expect("ISO 8601, in UTC");
    // Nothing from before, and not more than one interval later.
    let late = time(&heard[2][0].0);
    let millisecond = Duration::from_millis(1);
    assert!(late + millisecond >= joined, "{late:?} is before {joined:?}");
    assert!(late < joined + 3 * interval, "{late:?} is long after {joined:?}");
    for pair in common.windows(2) {
        let apart = time(&pair[1]).duration_since(time(&pair[0])).unwrap();
        assert!(apart > interval / 2 && apart < 2 * interval, "{pair:?}");
    }
}

#[test]
fn clock_lets_in_its_own_pages_and_those_of_the_list() {
    let origins = ["--origin", "https://a.example", "--origin", "http://b.example:8080"];
    let server = Server::start("clock", &[&[FREE, "--every", "50ms"], &origins[..]].concat());
    let own = server.url.replace("ws://", "http://");
    let from = |origin: &str| {
        Connector::builder().read_timeout(Some(LONG)).origin(origin).connect(&server.url_of("/ws"))
    };
    for origin in ["https://a.example", "http://b.example:8080", &own] {
        text(&mut from(origin).unwrap());
    }
    for origin in ["https://b.example", "http://a.example", "https://a.example:8080", "null"] {
        let error = from(origin).unwrap_err();
        assert!(matches!(&error, Error::Refused(response) if response.status() == 403), "{error}");
    }
    // A program that is no browser has none.
    text(&mut client(&server.url_of("/ws")));

    let list = server.http("GET /origins HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(list.ends_with("\r\n\r\nhttps://a.example\nhttp://b.example:8080"), "{list}");
    let said = server.stop();
    assert!(
        said.starts_with(
            "pages are let in from this server, https://a.example, http://b.example:8080\n"
        ),
        "{said}"
    );
}

#[test]
fn ticker_shows_all_the_same_numbers_as_often_as_asked() {
    const COUNT: usize = 40;
    let server = Server::start("ticker", &[FREE, "--every", "50"]);
    let clients = (0..3).map(|_| client(&server.url_of("/ws"))).collect();
    let begun = Instant::now();
    let heard = texts(clients, COUNT);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(40 * 45) && took < Duration::from_secs(10), "{took:?}");
    for values in &heard {
        let values: Vec<u16> = values.iter().map(|(value, _)| value.parse().unwrap()).collect();
        assert!(values.iter().all(|value| *value <= 999), "{values:?}");
        assert!(values.windows(2).all(|pair| pair[0] != pair[1]), "{values:?}");
    }
    // They have joined a few ticks apart; from there on, all is the same.
    let values = |at: usize| heard[at].iter().map(|(value, _)| value.as_str()).collect::<Vec<_>>();
    for other in [values(1), values(2)] {
        let same = |shift: usize| {
            let (long, short) = (values(0), other.clone());
            long[shift..] == short[..COUNT - shift] || short[shift..] == long[..COUNT - shift]
        };
        assert!((0..COUNT / 2).any(same), "{:?} {other:?}", values(0));
    }
    let page = server.http("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.contains(">no data yet<"), "{page}");
}

#[test]
fn im_passes_on_to_all_but_the_sender_and_logs() {
    let server = Server::start("im", &[FREE]);
    let mut clients: Vec<_> = (0..3).map(|_| reader(&server.url_of("/ws"))).collect();
    let hostile = "<img src=x onerror=alert(1)>\n\u{1b}[31m 2: \"forged\"";
    let long = "ü".repeat(1000);
    let said = [(0, hostile), (1, ""), (2, &*long), (0, "the last")];
    for (from, text) in said {
        clients[from].send(text).unwrap();
        for (at, client) in clients.iter_mut().enumerate().filter(|(at, _)| *at != from) {
            // Who would get its own would not get this one next.
            assert_eq!(client.read().unwrap(), Some(Message::from(text)), "{at}");
        }
    }
    // What is too long, or no text, ends the connection of its sender, and nobody gets it.
    let cases = [
        (Message::from("x".repeat(1001)), CloseCode::MESSAGE_TOO_BIG),
        (Message::from(vec![0xff; 3]), CloseCode::UNSUPPORTED_DATA),
        (Message::from("x".repeat(100_000)), CloseCode::MESSAGE_TOO_BIG),
    ];
    for (message, code) in cases {
        let mut bad = reader(&server.url_of("/ws"));
        bad.send(message).unwrap();
        assert_eq!(bad.read().unwrap(), None);
        assert_eq!(bad.close_info().unwrap().code, code);
    }
    clients[1].send("after all").unwrap();
    assert_eq!(text(&mut clients[0]), "after all");
    assert_eq!(text(&mut clients[2]), "after all");
    for mut client in clients {
        client.close(CloseCode::NORMAL, "").unwrap();
    }
    let log = server.stop();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(": \"")).collect();
    let expected = [
        r#"1: "<img src=x onerror=alert(1)>\n\u{1b}[31m 2: \"forged\"""#.to_owned(),
        r#"2: """#.to_owned(),
        format!("3: {long:?}"),
        r#"1: "the last""#.to_owned(),
        r#"2: "after all""#.to_owned(),
    ];
    assert_eq!(lines, expected, "{log}");
}

// One client that sends as fast as it can does not push the others out.
#[test]
fn im_holds_a_flood_back() {
    let server = Server::start("im", &[FREE]);
    let mut listening = reader(&server.url_of("/ws"));
    let mut flooding = reader(&server.url_of("/ws"));
    let begun = Instant::now();
    for at in 0..200 {
        flooding.queue(at.to_string()).unwrap();
    }
    flooding.flush().unwrap();
    for at in 0..200 {
        assert_eq!(text(&mut listening), at.to_string());
    }
    assert!(begun.elapsed() >= Duration::from_millis(199 * 10), "{:?}", begun.elapsed());
}

/// Bytes up and down of polls, and of pushes.
fn measured(count: &str) -> [u64; 4] {
    let (status, stdout, stderr) = outcome(&run("push_vs_poll", &[count], ""));
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    let words: Vec<_> = stdout.split_whitespace().collect();
    let number = |kind: &str, after: usize| {
        let at = words.windows(2).position(|pair| pair == [count, kind]).expect("a line");
        words[at + after].parse().unwrap()
    };
    [number("polls", 2), number("polls", 3), number("pushes", 2), number("pushes", 3)]
}

// What ten messages more cost is known.
#[test]
fn push_vs_poll_measures_what_each_message_costs() {
    let one = measured("1");
    let eleven = measured("11");
    assert_eq!(eleven[0], 11 * one[0]);
    // `10` is one byte longer than the others; its length is a digit, too.
    assert_eq!(eleven[1], 11 * one[1] + 1);
    assert_eq!(eleven[2], one[2]);
    assert_eq!(eleven[3], one[3] + 9 * 3 + 4);
    // A request as a browser's, a handshake, and a Close frame of each side.
    assert!((400..700).contains(&one[0]) && (300..600).contains(&one[2]), "{one:?}");
    assert!((60..200).contains(&one[1]) && (120..200).contains(&one[3]), "{one:?}");

    let [polls_up, polls_down, pushes_up, pushes_down] = measured("600");
    assert!(polls_up + polls_down > 50 * (pushes_up + pushes_down));
    for count in ["0", "many", "10001", "-1"] {
        let (status, stdout, stderr) = outcome(&run("push_vs_poll", &[count], ""));
        assert_eq!((status, &*stdout), (Some(1), ""));
        assert_eq!(stderr, format!("push_vs_poll: {count:?}: not a number from 1 to 10000\n"));
    }
}

const APPS: [&str; 8] =
    ["echo", "greet", "clock", "ticker", "chat", "im", "scheduler", "push_vs_poll"];

#[test]
fn demo_checks_itself() {
    let (status, stdout, stderr) = outcome(&run("demo", &["--self-check"], ""));
    assert_eq!(status, Some(0), "{stderr}");
    let expected: String = APPS.iter().map(|name| format!("/{name} is well\n")).collect();
    assert_eq!(stdout, format!("/ is well\n{expected}"));
}

#[test]
fn applications_check_themselves_alone() {
    for name in ["clock", "ticker", "im"] {
        let (status, stdout, stderr) = outcome(&run(name, &["--self-check"], ""));
        assert_eq!((status, &*stdout), (Some(0), "/ is well\n"), "{name}: {stderr}");
    }
}

#[test]
fn demo_serves_all_on_one_port() {
    let server = Server::start("demo", &[FREE]);
    let get = |path: &str| server.http(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let index = get("/");
    assert!(index.starts_with("HTTP/1.1 200 OK\r\n"), "{index}");
    for name in APPS {
        assert!(index.contains(&format!("<a href=\"{name}/\">")), "{name}");
        let page = get(&format!("/{name}/"));
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<!doctype html>"));
        let moved = get(&format!("/{name}"));
        assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
        assert!(moved.contains(&format!("\r\nLocation: /{name}/\r\n")), "{moved}");
        let script = get(&format!("/{name}/socket.js"));
        assert!(script.contains("\r\nContent-Type: text/javascript; charset=utf-8\r\n"));
        let no_upgrade = get(&format!("/{name}/ws"));
        assert!(no_upgrade.starts_with("HTTP/1.1 426 "), "{no_upgrade}");
    }
    for path in ["/no", "/clocks/", "/clock/../x", "/im/ws/x", "/%2e%2e"] {
        assert!(get(path).starts_with("HTTP/1.1 404 "), "{path}");
    }
    let error = ws_std::connect(&server.url_of("/no/ws")).unwrap_err();
    assert!(matches!(&error, Error::Refused(response) if response.status() == 404), "{error}");

    // They compress, each message by itself, so that a hub does it once for all.
    for name in APPS.into_iter().filter(|name| *name != "push_vs_poll") {
        let connector = Connector::builder().deflate(Compression::default());
        let ws = connector.connect(&server.url_of(&format!("/{name}/ws"))).unwrap();
        assert!(ws.deflate().is_some_and(|agreed| agreed.server_no_context_takeover), "{name}");
    }

    // Each has its own clients.
    let mut greeted = client(&server.url_of("/greet/ws"));
    assert_eq!(text(&mut greeted), "Hi there");
    let mut writing = reader(&server.url_of("/im/ws"));
    let mut reading = reader(&server.url_of("/im/ws"));
    writing.send("hello").unwrap();
    assert_eq!(text(&mut reading), "hello");
    greeted.send("x").unwrap();
    assert_eq!(text(&mut greeted), "Received: x");
}

#[cfg(unix)]
#[test]
fn demo_closes_its_connections_at_ctrl_c() {
    let mut server = Server::start("demo", &[FREE]);
    let mut clients: Vec<_> = ["echo", "im", "greet"]
        .iter()
        .map(|name| client(&server.url_of(&format!("/{name}/ws"))))
        .collect();
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    for ws in &mut clients {
        while ws.read().unwrap().is_some() {}
        let info = ws.close_info().unwrap();
        assert!(info.clean && info.code == CloseCode::GOING_AWAY, "{info:?}");
    }
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < LONG, "it runs on");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn applications_explain_themselves() {
    for name in ["clock", "ticker", "im", "push_vs_poll", "demo"] {
        let (status, stdout, stderr) = outcome(&run(name, &["--help"], ""));
        assert_eq!((status, &*stderr), (Some(0), ""), "{name}");
        assert!(stdout.starts_with(&format!("usage: {name} ")), "{stdout}");
    }
    let cases: [(&[&str], &str); 8] = [
        (&["clock", "--every", "0s"], "--every \"0s\": not a time such as 500ms, 5s or 1m\n"),
        (&["clock", "--every", "soon"], "--every \"soon\": not a time such as 500ms, 5s or 1m\n"),
        (&["clock", "--every", "1441m"], "an interval of 86460s: it is 1 ms to a day\n"),
        (&["clock", "--every", ""], "--every \"\": not a time such as 500ms, 5s or 1m\n"),
        (&["ticker", "--every", "0"], "an interval of 0ns: it is 1 ms to a day\n"),
        (&["ticker", "--every", "50ms"], "--every \"50ms\": not a whole number\n"),
        (&["push_vs_poll", "5", "6"], "unexpected argument \"6\"; usage: push_vs_poll "),
        (&["demo", "--what"], "unexpected argument \"--what\"; usage: demo "),
    ];
    for (args, expected) in cases {
        let (status, stdout, stderr) = outcome(&run(args[0], &args[1..], ""));
        assert_eq!((status, &*stdout), (Some(1), ""), "{args:?}");
        assert!(stderr.starts_with(&format!("{}: {expected}", args[0])), "{args:?}: {stderr:?}");
    }
}

// DNS rebinding: a page of another site reaches a server of this machine under a name of its own.
#[test]
fn servers_on_loopback_answer_to_the_names_of_this_machine() {
    let servers: [(&str, &[&str]); 4] = [
        ("demo", &[FREE, "--host", "chat.example"]),
        ("echo_server", &[FREE, "--host", "other.example", "--host", "chat.example:80"]),
        ("ticker", &[FREE, "--host", "chat.example"]),
        ("ws", &["serve", FREE, "--echo", "--host", "chat.example"]),
    ];
    for (name, args) in servers {
        let server = Server::start(name, args);
        let status = |host: &str| {
            let page = server.http(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            page[9..12].to_owned()
        };
        let own = server.url.strip_prefix("ws://").unwrap();
        for host in [own, "localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:9001", "chat.example"] {
            assert_ne!(status(host), "421", "{name} {host}");
        }
        for host in ["evil.example", "evil.example:9001", "127.0.0.1.evil.example", "0.0.0.0"] {
            assert_eq!(status(host), "421", "{name} {host}");
        }
        let said = server.stop();
        let refusal = "this server does not answer to the host (RFC 9110 §15.5.20): \"evil.example\"; `hosts` lists";
        assert!(said.contains(refusal), "{name}: {said}");
    }
    for host in ["", "http://a.example", "a.example/", "a b", "u@a.example", "::1"] {
        let (status, _, stderr) = outcome(&run("echo_server", &[FREE, "--host", host], ""));
        assert_eq!(status, Some(1), "{host:?}");
        let expected = format!(
            "echo_server: --host {host:?}: not a host such as example.com or example.com:8080\n"
        );
        assert_eq!(stderr, expected);
    }
}

// RFC 9110 §7.8: what nginx sends without `proxy_http_version 1.1`.
#[test]
fn the_log_says_why_an_upgrade_by_http10_is_none() {
    for (name, path) in [("echo_server", "/"), ("ticker", "/ws")] {
        let server = Server::start(name, &[FREE]);
        let answer = server.http(&format!(
            "GET {path} HTTP/1.0\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
        let said = server.stop();
        assert!(said.contains("(nginx: proxy_http_version 1.1)"), "{said}");
    }
}

// One that no browser sends would let nobody in (RFC 6454 §6.2).
#[test]
fn servers_take_only_origins_as_browsers_write_them() {
    let good = ["https://a.example", "http://a.example:80", "HTTP://[::1]:8080", "app+x://a"];
    let bad = [
        "",
        "*",
        "null",
        "a.example",
        "://a",
        "1http://a",
        "http://",
        "http://a/",
        "http://a/b",
        "http://a b",
        " http://a",
        "http://a ",
        "http://a?",
        "http://a#",
        "http://u@a",
        "http://a:x",
        "http://a:65536",
        "http://a,http://b",
        "http://a://b",
    ];
    for args in [&["clock"][..], &["echo_server"], &["ws", "serve"]] {
        for origin in bad {
            let all = [&args[1..], &[FREE, "--origin", origin]].concat();
            let (status, stdout, stderr) = outcome(&run(args[0], &all, ""));
            assert_eq!((status, &*stdout), (Some(1), ""), "{all:?}");
            let expected =
                format!("--origin {origin:?}: not an origin such as https://example.com\n");
            assert_eq!(stderr, format!("{}: {expected}", args[0]));
        }
        let good = good.map(|origin| ["--origin", origin]).concat();
        drop(Server::start(args[0], &[&args[1..], &[FREE], &good[..]].concat()));
    }
}
