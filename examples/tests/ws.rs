//! The command-line client and server, beside each other and beside raw sockets.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use support::{LONG, Program, outcome, run};
use ws_std::{CloseCode, Config, Listener, Message};

/// A server of `ws`, and its URL.
fn serve(args: &[&str]) -> (Program, String) {
    let program = Program::start("ws", &[&["serve", "127.0.0.1:0"], args].concat());
    let line = program.line();
    (program, line.strip_prefix("listening on ").unwrap().to_owned())
}

#[test]
fn ws_connect_and_serve_show_each_other_their_heads_and_frames() {
    let (server, url) = serve(&["--echo", "--trace", "--protocol", "b"]);
    let host = url.strip_prefix("ws://").unwrap();
    let origin = format!("http://{host}");
    let args = ["connect", &url, "--trace", "--protocol", "a", "--protocol", "b", "--header"];
    let args = [&args[..], &["X-One:  1 ", "--origin", &origin]].concat();
    let (status, stdout, stderr) = outcome(&run("ws", &args, "hello\n\nwörld\u{1b}\n"));
    assert_eq!((status, &*stdout), (Some(0), "hello\n\nwörld\\u{1b}\n"));
    for line in [
        "> GET / HTTP/1.1",
        &format!("> Host: {host}"),
        &format!("> Origin: {origin}"),
        "> X-One: 1",
        "< HTTP/1.1 101 Switching Protocols",
        "< Sec-WebSocket-Protocol: b",
        "open, subprotocol b",
        "> text, 5 bytes: \"hello\"",
        "> text, 0 bytes",
        "> text, 7 bytes: \"wörld\\u{1b}\"",
        "< text, 5 bytes: \"hello\"",
        "> close, 2 bytes: 1000 \"\"",
        "< close, 2 bytes: 1000 \"\"",
    ] {
        assert!(stderr.lines().any(|said| said == line), "{line:?} in {stderr}");
    }
    let mut peer = None;
    for part in [
        " < GET / HTTP/1.1",
        " < X-One: 1",
        " > HTTP/1.1 101 Switching Protocols",
        " < text, 5 bytes: \"hello\"",
        " < close, 2 bytes: 1000 \"\"",
        ": closed, 1000 \"\"",
    ] {
        // Each line tells whose it is.
        let line = server.complains(part);
        let whose = line[..line.find(part).unwrap()].to_owned();
        assert_eq!(peer.get_or_insert(whose.clone()), &whose);
    }
    let peer = peer.unwrap();
    for text in ["hello", "", "wörld\\u{1b}"] {
        assert_eq!(server.line(), format!("{peer}: {text}"));
    }
}

#[test]
fn ws_serve_broadcasts_to_the_others() {
    let (mut server, url) = serve(&["--broadcast"]);
    let open = || {
        let mut ws = ws_std::connect(&url).unwrap();
        ws.set_read_timeout(Some(LONG));
        server.complains(": open");
        ws
    };
    let mut clients = [open(), open(), open()];
    let address = clients[0].local_addr().unwrap();
    // Whoever is greeted is in the hub.
    thread::sleep(Duration::from_millis(200));
    let text = "a\r\n\u{1b}]0;x\u{7}\u{202e}\"b\"";
    clients[0].send(text).unwrap();
    let shown = r#"a\r\n\u{1b}]0;x\u{7}\u{202e}"b""#;
    assert_eq!(server.line(), format!("{address}: {shown}"));
    for ws in &mut clients[1..] {
        assert_eq!(ws.read().unwrap(), Some(Message::from(text)));
    }
    clients[0].send(vec![0, 0xff]).unwrap();
    assert_eq!(server.line(), format!("{address}: binary: 00ff"));
    for ws in &mut clients[1..] {
        assert_eq!(ws.read().unwrap(), Some(Message::from(vec![0, 0xff])));
    }
    server.say("from the terminal");
    for ws in &mut clients {
        assert_eq!(ws.read().unwrap(), Some(Message::from("from the terminal")));
    }
}

#[cfg(unix)]
#[test]
fn ws_serve_closes_its_connections_at_ctrl_c() {
    for mode in [&["--echo"][..], &["--broadcast"], &[]] {
        let (server, url) = serve(mode);
        let client = Program::start("ws", &["connect", &url]);
        assert_eq!(client.complaint(), "open");
        server.complains(": open");
        server.interrupt();
        let (status, _, stderr) = server.end();
        assert_eq!(status, Some(0), "{stderr:?}");
        let (status, _, stderr) = client.end();
        // 1001 is no fault of anybody.
        assert_eq!((status, stderr), (Some(0), vec![]));
    }
}

#[cfg(unix)]
#[test]
fn ws_connect_closes_at_ctrl_c() {
    let (server, url) = serve(&[]);
    let client = Program::start("ws", &["connect", &url, "--stay"]);
    assert_eq!(client.complaint(), "open");
    client.interrupt();
    assert_eq!(client.end(), (Some(0), vec![], vec![]));
    server.complains(": closed, 1000 \"\"");
}

#[test]
fn ws_speaks_binary_in_hexadecimal() {
    let (_server, url) = serve(&["--echo"]);
    let output = run("ws", &["connect", &url, "--binary"], "00 Ff 10\n\n");
    assert_eq!(outcome(&output), (Some(0), "binary: 00ff10\nbinary: \n".into(), "open\n".into()));
    for wrong in ["0", "0g", "é", "+1"] {
        let (status, _, stderr) = outcome(&run("ws", &["connect", &url, "--binary"], wrong));
        let expected = format!("open\nws: {wrong:?}: not bytes in hexadecimal\n");
        assert_eq!((status, stderr), (Some(1), expected));
    }
}

#[test]
fn ws_sends_pings_when_asked_to() {
    let (server, url) = serve(&["--trace", "--ping-interval", "50ms"]);
    let client = Program::start("ws", &["connect", &url, "--trace", "--stay"]);
    server.complains("> ping, ");
    server.complains("< pong, ");
    client.complains("< ping, ");
    client.complains("> pong, ");
    drop(server);
    let (_server, url) = serve(&[]);
    let client = Program::start("ws", &["connect", &url, "--trace", "--ping-interval", "50ms"]);
    client.complains("> ping, ");
    client.complains("< pong, ");
}

#[test]
fn ws_keeps_to_its_limits_and_origins() {
    let args = ["--echo", "--max-message", "5", "--origin", "https://a.example"];
    let (_server, url) = serve(&args);
    let (status, stdout, stderr) = outcome(&run("ws", &["connect", &url], "12345\n123456\n"));
    assert_eq!((status, &*stdout), (Some(1), "12345\n"));
    assert!(stderr.starts_with("open\nws: the connection ended: closed, 1009 "), "{stderr}");
    let (_server, url) = serve(&["--echo"]);
    let args = ["connect", &url, "--max-message", "5"];
    let (status, stdout, stderr) = outcome(&run("ws", &args, "12345\n123456\n"));
    assert_eq!((status, &*stdout), (Some(1), "12345\n"));
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let args = ["connect", &url, "--origin", "https://b.example"];
    let (status, _, stderr) = outcome(&run("ws", &args, ""));
    assert_eq!(
        (status, &*stderr),
        (
            Some(1),
            "ws: the server refused: status 403 Forbidden: \"Origin is not allowed here (RFC 6455 §10.2)\"\n"
        )
    );
}

#[test]
fn ws_tells_by_its_status_how_it_went() {
    let closing = |code: Option<u16>| {
        let listener = Listener::builder().config(Config::new()).bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut ws = listener.accept().unwrap().accept().unwrap();
            ws.close(code.map(CloseCode::new), "").unwrap();
        });
        let client = Program::start("ws", &["connect", &url]);
        let (status, _, stderr) = client.end();
        server.join().unwrap();
        (status, stderr[1..].join("\n"))
    };
    assert_eq!(closing(None), (Some(0), String::new()));
    assert_eq!(closing(Some(1000)), (Some(0), String::new()));
    let told = "ws: the connection ended: closed, 4001 \"\"".to_owned();
    assert_eq!(closing(Some(4001)), (Some(1), told));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("ws://{nobody}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, expected) in [
        (&["connect", &*nobody][..], "refused"),
        (&["connect", "wss://127.0.0.1:1"], "--features rustls"),
        (&["connect", &nobody, "--header", "nonsense"], "\"nonsense\": not NAME: VALUE"),
        (&["connect", &nobody, "--header", "Upgrade: x"], ""),
        (
            &["connect", "ws://h/", "--proxy", &nobody.replace("ws", "socks5")],
            "ws: proxy 127.0.0.1:",
        ),
        (&["connect", &nobody, "--proxy", "https://p"], "TLS to the proxy itself"),
        (&["connect", &nobody, "--ping-interval", "5"], "not a time such as"),
        (&["connect", &nobody, "--echo"], "unexpected argument \"--echo\"; usage: ws "),
        (&["connect"], "usage: ws "),
        (&["serve", "127.0.0.1:0", "--echo", "--broadcast"], "unexpected argument"),
        (&["serve"], "usage: ws "),
        (&["serve", &address], &format!("{address}: ")),
        (&["listen"], "unexpected argument \"listen\"; usage: ws "),
        (&[], "usage: ws "),
    ] {
        if cfg!(feature = "rustls") && args.contains(&"wss://127.0.0.1:1") {
            continue;
        }
        let (status, stdout, stderr) = outcome(&run("ws", args, ""));
        assert_eq!((status, &*stdout), (Some(1), ""), "{args:?}");
        assert!(stderr.starts_with("ws: ") && stderr.contains(expected), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_connection_that_breaks_off_is_an_error_of_ws() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        // The handshake by another server, and then nothing more.
        let inner = ws_std::listen("127.0.0.1:0").unwrap();
        let mut to = TcpStream::connect(inner.local_addr().unwrap()).unwrap();
        let (mut from, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let count = from.read(&mut head).unwrap();
        to.write_all(&head[..count]).unwrap();
        let _ws = inner.accept().unwrap().accept().unwrap();
        let count = to.read(&mut head).unwrap();
        from.write_all(&head[..count]).unwrap();
    });
    let begun = Instant::now();
    let client = Program::start("ws", &["connect", &format!("ws://{address}")]);
    let (status, _, stderr) = client.end();
    server.join().unwrap();
    assert_eq!(status, Some(1));
    assert_eq!(stderr, ["open", "ws: the connection ended: lost without a Close frame"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
