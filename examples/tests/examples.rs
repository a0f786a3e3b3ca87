//! Runs the examples as their users do. Every wait is bounded.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use support::{LONG, Program, Server, outcome, run};
use ws_std::{CloseCode, Connector, Error, Message};

/// A server that says `response` to everybody, or nothing.
fn answering(response: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(response).unwrap();
        // Open until the client ends.
        let _ = stream.read(&mut [0]);
    });
    url
}

#[test]
fn echo_client_prints_the_replies_to_its_arguments() {
    let server = Server::start("echo_server", &["127.0.0.1:0"]);
    let output = run("echo_client", &[&server.url, "hello", "wörld", ""], "not read\n");
    assert_eq!(outcome(&output), (Some(0), "hello\nwörld\n\n".into(), String::new()));
}

#[test]
fn echo_client_prints_the_replies_to_standard_input() {
    let server = Server::start("echo_server", &["127.0.0.1:0"]);
    let output = run("echo_client", &["--timeout", "30", &server.url], "one\ntwo\nthree");
    assert_eq!(outcome(&output), (Some(0), "one\ntwo\nthree\n".into(), String::new()));
}

#[test]
fn echo_server_and_echo_client_send_fragments() {
    let server = Server::start("echo_server", &["127.0.0.1:0", "--fragment", "4"]);
    let output = run("ws", &["connect", &server.url, "--trace"], "wörld, 4\n");
    let (status, stdout, stderr) = outcome(&output);
    assert_eq!((status, &*stdout), (Some(0), "wörld, 4\n"));
    let frames: Vec<&str> =
        stderr.lines().filter(|line| line.starts_with("< ") && line.contains("byte")).collect();
    assert_eq!(
        frames,
        [
            r#"< text, to be continued, 4 bytes: "wör""#,
            r#"< continuation, to be continued, 4 bytes: "ld, ""#,
            r#"< continuation, to be continued, 1 byte: "4""#,
            "< continuation, 0 bytes",
            r#"< close, 2 bytes: 1000 """#,
        ]
    );

    let server = Server::start("echo_server", &["127.0.0.1:0", "--max-frame", "5"]);
    let output = run("echo_client", &["--fragment", "5", &server.url, "hello there", ""], "");
    assert_eq!(outcome(&output), (Some(0), "hello there\n\n".into(), String::new()));
    let (status, stdout, stderr) = outcome(&run("echo_client", &[&server.url, "hello there"], ""));
    assert_eq!((status, &*stdout), (Some(1), ""));
    assert!(stderr.contains("1009"), "{stderr}");
}

#[test]
fn echo_server_serves_its_page_over_plain_http() {
    let server = Server::start("echo_server", &["127.0.0.1:0"]);
    let page = server.http("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{page}");
    assert!(page.ends_with(include_str!("../pages/echo.html")));
    for (path, text) in [
        ("/socket.js", include_str!("../pages/socket.js")),
        ("/app.css", include_str!("../pages/app.css")),
    ] {
        let file = server.http(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(file.starts_with("HTTP/1.1 200 OK\r\n") && file.ends_with(text), "{file}");
    }
    let missing = server.http("GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(missing.starts_with("HTTP/1.1 404 Not Found\r\n"), "{missing}");
    let bad = server.http("nonsense\r\n\r\n");
    assert!(bad.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bad}");
}

#[test]
fn echo_server_keeps_to_its_options() {
    let args = ["127.0.0.1:0", "--protocol", "b", "--protocol", "a", "--origin"];
    let args =
        [&args[..], &["https://a.example", "--max-message", "5", "--max-frame", "4"]].concat();
    let server = Server::start("echo_server", &args);
    let client = Connector::builder().read_timeout(Some(LONG));
    let mut ws = client.clone().protocols(["a", "b"]).connect(&server.url).unwrap();
    assert_eq!(ws.subprotocol(), Some("b"));
    ws.send("four").unwrap();
    assert_eq!(ws.read().unwrap(), Some(Message::from("four")));
    ws.send("fives").unwrap();
    assert_eq!(ws.read().unwrap(), None);
    assert_eq!(ws.close_info().unwrap().code, CloseCode::new(1009));

    client.clone().origin("https://a.example").connect(&server.url).unwrap();
    let error = client.origin("https://b.example").connect(&server.url).unwrap_err();
    assert!(matches!(error, Error::Refused(response) if response.status() == 403));
}

#[test]
fn echo_client_says_why_it_fails_and_exits_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let nobody = format!("ws://{address}/");
    let refused = format!("{address}: Connection refused");
    drop(listener);
    let missing = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let mail = answering(b"220 mail.example.com ESMTP\r\n\r\n");
    let cases = [
        (vec![&*nobody, "x"], &*refused),
        (vec![&*missing, "x"], "the server refused: status 404 Not Found"),
        (vec![&*mail, "x"], "not a valid WebSocket handshake: "),
        (vec!["http://127.0.0.1/"], "the URL has to begin with ws://"),
        (vec!["wss://127.0.0.1/"], "wss:// needs TLS"),
        (vec!["ws://127.0.0.1:x/"], "the URL's port"),
        (vec!["--bad", "ws://127.0.0.1/"], "unexpected argument \"--bad\"; usage: "),
        (vec!["-x", "ws://127.0.0.1/"], "unexpected argument \"-x\"; usage: "),
        (vec!["--timeout", "soon", "ws://127.0.0.1/"], "--timeout \"soon\": not a whole number"),
        (vec!["--timeout"], "--timeout needs a value; usage: "),
        (vec![], "usage: echo_client "),
    ];
    for (args, expected) in cases {
        let (status, stdout, stderr) = outcome(&run("echo_client", &args, ""));
        assert_eq!((status, &*stdout), (Some(1), ""), "{args:?}");
        let begins = format!("echo_client: {expected}");
        assert!(stderr.starts_with(&begins), "{args:?}: {stderr:?}");
    }
}

#[test]
fn echo_client_gives_up_at_its_deadline() {
    let silent = answering(b"");
    let begun = Instant::now();
    let output = run("echo_client", &["--timeout", "1", &silent, "x"], "");
    let (status, stdout, stderr) = outcome(&output);
    assert_eq!((status, &*stdout), (Some(1), ""));
    assert_eq!(stderr, "echo_client: the opening handshake took too long\n");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn echo_client_tells_that_the_server_has_closed() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut ws = listener.accept().unwrap().accept().unwrap();
        ws.close(CloseCode::new(4001), "not today").unwrap();
    });
    let (status, stdout, stderr) = outcome(&run("echo_client", &[&url], "x\n"));
    assert_eq!((status, &*stdout), (Some(1), ""));
    assert!(stderr.starts_with("echo_client: "), "{stderr}");
    server.join().unwrap();
}

#[test]
fn programs_explain_themselves() {
    for name in ["echo_server", "echo_client", "autobahn_client"] {
        let (status, stdout, stderr) = outcome(&run(name, &["--help"], ""));
        assert_eq!((status, &*stderr), (Some(0), ""), "{name}");
        assert!(stdout.starts_with(&format!("usage: {name} ")), "{stdout}");
    }
    let (status, _, stderr) = outcome(&run("echo_server", &["127.0.0.1:0", "--what"], ""));
    assert_eq!(status, Some(1));
    assert!(stderr.starts_with("echo_server: unexpected argument \"--what\"; usage: "), "{stderr}");
}

#[test]
fn autobahn_client_runs_all_cases_and_asks_for_the_reports() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let suite = thread::spawn(move || {
        let mut targets = Vec::new();
        for incoming in listener.take(4) {
            let mut ws = incoming.unwrap().accept().unwrap();
            ws.set_read_timeout(Some(LONG));
            let target = ws.request().unwrap().target().to_owned();
            match &*target {
                "/getCaseCount" => ws.send("2").unwrap(),
                "/runCase?case=1&agent=us" => {
                    ws.send("echo me").unwrap();
                    assert_eq!(ws.read().unwrap(), Some(Message::from("echo me")));
                    ws.close(CloseCode::NORMAL, "").unwrap();
                }
                // A case that the client has to fail is not the end of the run.
                "/runCase?case=2&agent=us" => {
                    drop(ws.stream().get_ref().shutdown(std::net::Shutdown::Both))
                }
                _ => {}
            }
            while let Ok(Some(_)) = ws.read() {}
            targets.push(target);
        }
        targets
    });
    let output = run("autobahn_client", &[&url, "us"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        suite.join().unwrap(),
        [
            "/getCaseCount",
            "/runCase?case=1&agent=us",
            "/runCase?case=2&agent=us",
            "/updateReports?agent=us"
        ]
    );
    assert_eq!(outcome(&run("autobahn_client", &[], "")).0, Some(1));
}

#[test]
fn core_echo_prints_the_answer_and_the_frames() {
    let (status, stdout, stderr) = outcome(&run("core_echo", &[], ""));
    assert_eq!((status, &*stderr), (Some(0), ""));
    assert_eq!(
        stdout.replace("\r\n", "\n"),
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\n\
         frames: [81, 05, 48, 65, 6c, 6c, 6f, 88, 00]\n"
    );
}

#[cfg(unix)]
#[test]
fn every_echo_server_says_goodbye_at_ctrl_c() {
    for name in ["echo_server", "endpoint_echo"] {
        let server = Program::start(name, &["127.0.0.1:0"]);
        let url = server.line().strip_prefix("listening on ").unwrap().to_owned();
        let mut ws = Connector::builder().connect(&url).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("hello")), "{name}");
        server.interrupt();
        assert_eq!(ws.read().unwrap(), None, "{name}");
        let info = ws.close_info().unwrap();
        assert!(info.clean && info.code == CloseCode::GOING_AWAY, "{name}: {info}");
        assert_eq!(server.end().0, Some(0), "{name}");
    }
}

#[test]
fn endpoint_echo_answers_the_echo_client() {
    let server = Server::start("endpoint_echo", &["127.0.0.1:0"]);
    let long = "x".repeat(100_000);
    let output = run("echo_client", &[&server.url, "hello", &long], "");
    assert_eq!(outcome(&output), (Some(0), format!("hello\n{long}\n"), String::new()));
    let page = server.http("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{page}");
    let complaints = server.stop();
    assert_eq!(complaints, "", "nothing has failed");
}
