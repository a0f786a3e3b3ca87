//! The client that comes back: what it prints, and when it gives up.

mod support;

use support::{Program, Server, outcome, run};
use ws_std::CloseCode;

/// The number in `retrying in N ms`.
fn pause(line: &str) -> u64 {
    let number = line.strip_prefix("retrying in ").and_then(|rest| rest.strip_suffix(" ms"));
    number.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap()
}

#[cfg(unix)]
#[test]
fn reconnect_comes_back_after_the_server_is_killed_and_restarted() {
    let server = Server::start("echo_server", &["127.0.0.1:0"]);
    let url = server.url.clone();
    let address = url.strip_prefix("ws://").unwrap();
    let mut program = Program::start("reconnect", &["--base", "200ms", "--max", "400ms", &url]);
    assert_eq!(program.line(), format!("connecting to {url}"));
    assert_eq!(program.line(), "open");
    program.say("hello\u{1b}[2J");
    assert_eq!(program.line(), "received, hello\\u{1b}[2J");
    server.stop();
    assert_eq!(program.line(), "lost, no Close frame");
    // Said while nobody listens: it is sent when there is a connection again.
    program.say("are you back?");
    assert!(pause(&program.line()) <= 200);
    // At least one attempt fails.
    assert_eq!(program.line(), format!("connecting to {url}"));
    let failed = program.line();
    assert!(failed.starts_with("failed, ") && failed.contains("refused"), "{failed}");
    let _server = Server::start("echo_server", &[address]);
    loop {
        assert!(pause(&program.line()) <= 400);
        assert_eq!(program.line(), format!("connecting to {url}"));
        let line = program.line();
        if line == "open" {
            break;
        }
        assert!(line.starts_with("failed, "), "{line}");
    }
    assert_eq!(program.line(), "received, are you back?");
    program.interrupt();
    let (status, stdout, stderr) = program.end();
    assert_eq!((status, stdout), (Some(0), vec!["closed, 1000 \"\"".to_owned()]));
    assert!(stderr.is_empty(), "{stderr:?}");
}

#[cfg(unix)]
#[test]
fn reconnect_ends_at_ctrl_c_without_a_connection() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = Program::start("reconnect", &["--base", "1m", &format!("ws://{nobody}")]);
    assert!(program.line().starts_with("connecting to "));
    assert!(program.line().starts_with("failed, "));
    assert!(pause(&program.line()) <= 60_000);
    program.interrupt();
    let (status, stdout, stderr) = program.end();
    assert_eq!((status, stdout), (Some(0), vec!["closed, there was no connection".to_owned()]));
    assert!(stderr.is_empty(), "{stderr:?}");
}

#[test]
fn reconnect_notices_a_server_that_has_vanished() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let program = Program::start("reconnect", &["--ping-interval", "100ms", &url]);
    // It opens and then takes part in nothing, as one behind a cut cable.
    let _silent = listener.accept().unwrap().accept().unwrap();
    assert_eq!(program.line(), format!("connecting to {url}"));
    assert_eq!(program.line(), "open");
    assert_eq!(program.line(), "lost, the peer did not answer a ping in time");
    assert!(pause(&program.line()) <= 5000);
}

#[test]
fn reconnect_tries_again_only_what_may_change() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let program = Program::start("reconnect", &["--base", "10ms", "--max", "10ms", &url]);
    let request = || listener.accept().unwrap().request().unwrap();
    let next = |expected: &str| {
        assert_eq!(program.line(), format!("connecting to {url}"));
        assert_eq!(program.line(), expected);
    };
    request().reject(503).unwrap();
    next("failed, the server refused: status 503 Service Unavailable");
    assert!(pause(&program.line()) <= 10);
    request().reject(429).unwrap();
    next("failed, the server refused: status 429 Too Many Requests");
    assert!(pause(&program.line()) <= 10);
    let mut ws = request().accept().unwrap();
    ws.close(CloseCode::GOING_AWAY, "restart\n").unwrap();
    next("open");
    assert_eq!(program.line(), "lost, 1001 \"restart\\n\"");
    assert!(pause(&program.line()) <= 10);
    request().reject(404).unwrap();
    let (status, stdout, stderr) = program.end();
    assert_eq!((status, stdout), (Some(1), vec![format!("connecting to {url}")]));
    assert_eq!(stderr, ["reconnect: the server refused: status 404 Not Found"]);
}

#[test]
fn reconnect_ends_when_the_server_is_done_or_the_url_is_wrong() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let program = Program::start("reconnect", &[&url]);
    let mut ws = listener.accept().unwrap().accept().unwrap();
    ws.close(CloseCode::NORMAL, "done").unwrap();
    let (status, stdout, _) = program.end();
    assert_eq!((status, &*stdout[2]), (Some(0), "closed, 1000 \"done\""));
    for (args, expected) in [
        (&["http://127.0.0.1/"][..], "the URL has to begin with ws://"),
        (&["ws://127.0.0.1:0/"], "the URL's port"),
        (&["--base", "0s", "ws://127.0.0.1/"], "--base \"0s\": not a time"),
        (&[], "usage: reconnect "),
    ] {
        let (status, _, stderr) = outcome(&run("reconnect", args, ""));
        assert_eq!(status, Some(1));
        assert!(stderr.starts_with(&format!("reconnect: {expected}")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
