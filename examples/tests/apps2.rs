//! The chat, the scheduler, and the clients of the command line: what they promise, by several clients.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{LONG, Program, Server, outcome, run};
use ws_examples::events::{event, expect};
use ws_std::{CloseCode, Config, Connector, Listener, Message, WebSocket};

fn client(server: &Server) -> WebSocket {
    let mut ws = ws_std::connect(&format!("{}/ws", server.url)).unwrap();
    ws.set_read_timeout(Some(LONG));
    ws
}

/// The next event: name and data.
fn hear(ws: &mut WebSocket) -> (String, Value) {
    let message = ws.read().unwrap().expect("an event");
    let event: Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
    (event["event"].as_str().unwrap().to_owned(), event["data"].clone())
}

fn say(ws: &mut WebSocket, name: &str, data: impl Into<Value>) {
    ws.send(event(name, data)).unwrap();
}

/// A client that has got its welcome: its id.
fn enter(server: &Server) -> (WebSocket, String) {
    let mut ws = client(server);
    let id = expect(&mut ws, "welcome").unwrap()["id"].as_str().unwrap().to_owned();
    (ws, id)
}

#[test]
fn chat_and_scheduler_check_themselves() {
    for name in ["chat", "scheduler"] {
        let (status, stdout, stderr) = outcome(&run(name, &["--self-check"], ""));
        assert_eq!((status, &*stderr), (Some(0), ""), "{name}");
        assert!(stdout.ends_with(" is well\n"), "{stdout}");
    }
}

#[test]
fn chat_tells_who_is_there_and_who_comes_and_goes() {
    let server = Server::start("chat", &["127.0.0.1:0"]);
    let (mut ann, ann_id) = enter(&server);
    say(&mut ann, "name", "  Ann ");
    let named = ("named".to_owned(), json!({ "id": ann_id, "name": "Ann" }));
    assert_eq!(hear(&mut ann), named);
    let mut bob = client(&server);
    let welcome = expect(&mut bob, "welcome").unwrap();
    let bob_id = welcome["id"].as_str().unwrap();
    assert_ne!(bob_id, ann_id);
    let guest = format!("Guest {bob_id}");
    let people = json!([{ "id": ann_id, "name": "Ann" }, { "id": bob_id, "name": guest }]);
    assert_eq!(welcome["people"], people);
    assert_eq!(hear(&mut ann), ("joined".into(), json!({ "id": bob_id, "name": guest })));
    say(&mut ann, "name", "<i>Ann</i>");
    let named = ("named".to_owned(), json!({ "id": ann_id, "name": "<i>Ann</i>" }));
    assert_eq!([hear(&mut ann), hear(&mut bob)], [named.clone(), named]);
    // Gone without a word.
    drop(ann);
    assert_eq!(hear(&mut bob), ("left".into(), json!({ "id": ann_id, "name": "<i>Ann</i>" })));
}

#[test]
fn chat_goes_to_everybody_and_typing_to_everybody_else() {
    let server = Server::start("chat", &["127.0.0.1:0"]);
    let (mut ann, id) = enter(&server);
    let (mut bob, _) = enter(&server);
    let (mut cid, _) = enter(&server);
    expect(&mut ann, "joined").unwrap();
    expect(&mut ann, "joined").unwrap();
    expect(&mut bob, "joined").unwrap();
    let name = format!("Guest {id}");
    say(&mut ann, "typing", true);
    say(&mut ann, "chat", "<img src=x onerror=alert(1)>");
    let typing = ("typing".to_owned(), json!({ "id": id, "name": name }));
    assert_eq!([hear(&mut bob), hear(&mut cid)], [typing.clone(), typing]);
    let text = "<img src=x onerror=alert(1)>";
    let chat = ("chat".to_owned(), json!({ "id": id, "name": name, "text": text }));
    // The first thing that Ann gets: her own typing she did not.
    assert_eq!([hear(&mut ann), hear(&mut bob), hear(&mut cid)], [(); 3].map(|()| chat.clone()));
}

#[test]
fn chat_publishes_to_those_in_the_room() {
    let server = Server::start("chat", &["127.0.0.1:0"]);
    let (mut ann, id) = enter(&server);
    let (mut bob, _) = enter(&server);
    let (mut cid, _) = enter(&server);
    (0..2).for_each(|_| drop(expect(&mut ann, "joined").unwrap()));
    expect(&mut bob, "joined").unwrap();
    for (who, room) in [(&mut bob, "tea"), (&mut cid, "cake")] {
        say(who, "subscribe", room);
        assert_eq!(hear(who), ("subscribed".into(), json!(room)));
    }
    say(&mut ann, "publish", json!({ "room": "tea", "text": "milk?" }));
    say(&mut ann, "publish", json!({ "room": "cake", "text": "cream?" }));
    let said = |room, text| {
        let name = format!("Guest {id}");
        ("publish".to_owned(), json!({ "id": id, "name": name, "room": room, "text": text }))
    };
    assert_eq!(hear(&mut bob), said("tea", "milk?"));
    assert_eq!(hear(&mut cid), said("cake", "cream?"));
    say(&mut bob, "unsubscribe", "tea");
    assert_eq!(hear(&mut bob), ("unsubscribed".into(), json!("tea")));
    say(&mut ann, "publish", json!({ "room": "tea", "text": "nobody hears" }));
    say(&mut ann, "chat", "all hear");
    for ws in [&mut ann, &mut bob, &mut cid] {
        let (event, data) = hear(ws);
        assert_eq!((&*event, &data["text"]), ("chat", &json!("all hear")));
    }
    // One client cannot make the server remember any number of rooms.
    for room in 0..16 {
        say(&mut ann, "subscribe", format!("{room}"));
        assert_eq!(hear(&mut ann).0, "subscribed");
    }
    say(&mut ann, "subscribe", "one more");
    assert_eq!(hear(&mut ann).0, "error");
    say(&mut ann, "subscribe", "7");
    assert_eq!(hear(&mut ann), ("subscribed".into(), json!("7")));
}

/// What no application understands.
fn nonsense() -> Vec<Message> {
    let deep = "[".repeat(60_000);
    let texts = ["", "null", "[]", "7", "\"chat\"", "{", "{}", "nonsense", "\0\u{1b}[2J", &deep];
    let events = [
        json!({ "event": "constructor", "data": 1 }),
        json!({ "event": 7 }),
        json!({ "event": { "event": "chat" } }),
        json!({ "data": "x" }),
    ];
    let texts = texts.into_iter().map(Message::from);
    let events = events.into_iter().map(|event| Message::from(event.to_string()));
    texts.chain(events).chain([Message::from(vec![0xff, 0, 1])]).collect()
}

#[test]
fn chat_answers_nonsense_with_an_error_and_goes_on() {
    let server = Server::start("chat", &["127.0.0.1:0"]);
    let (mut bob, _) = enter(&server);
    let (mut ann, _) = enter(&server);
    expect(&mut bob, "joined").unwrap();
    let wrong = [
        ("name", json!("")),
        ("name", json!("x".repeat(33))),
        ("name", json!("a\nb")),
        ("name", json!(["Ann"])),
        ("chat", json!(" ")),
        ("chat", json!("x".repeat(2001))),
        ("chat", json!({ "text": "x" })),
        ("chat", Value::Null),
        ("subscribe", json!("x".repeat(33))),
        ("subscribe", json!(9)),
        ("publish", json!("tea")),
        ("publish", json!({ "room": "tea" })),
        ("publish", json!({ "room": "", "text": "x" })),
    ];
    let wrong = wrong.map(|(name, data)| Message::from(event(name, data)));
    for message in nonsense().into_iter().chain(wrong) {
        ann.send(message.clone()).unwrap();
        assert_eq!(hear(&mut ann).0, "error", "{message:?}");
    }
    // Limits count characters, not bytes.
    say(&mut ann, "name", "Å".repeat(32));
    say(&mut ann, "chat", "ß".repeat(2000));
    for ws in [&mut ann, &mut bob] {
        assert_eq!(hear(ws).0, "named");
        assert_eq!(hear(ws).1["text"].as_str().unwrap().chars().count(), 2000);
    }
    // What is larger than any event is not even read.
    ann.send("x".repeat(100_000)).unwrap();
    assert_eq!(ann.read().unwrap(), None);
    assert_eq!(ann.close_info().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    assert_eq!(hear(&mut bob).0, "left");
    say(&mut bob, "chat", "still here");
    assert_eq!(hear(&mut bob).0, "chat");
}

#[test]
fn pages_are_served_and_never_make_html_of_what_users_say() {
    for (name, page) in [
        ("chat", include_str!("../pages/chat.html")),
        ("scheduler", include_str!("../pages/scheduler.html")),
    ] {
        let server = Server::start(name, &["127.0.0.1:0"]);
        let response = server.http("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with(page));
        // RFC 9110 §9.3.2: the same without the body.
        let head = server.http("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(Some(&*head), response.strip_suffix(page));
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!page.contains(way), "{name}: {way}");
        }
    }
}

/// All slots: those that are given, the others free.
fn slots(booked: &[(u64, &str)]) -> Value {
    let name = |hour| booked.iter().find(|(at, _)| *at == hour).map(|(_, name)| *name);
    (9..=16).map(|hour| json!({ "hour": hour, "name": name(hour) })).collect()
}

fn ask(server: &Server, request: &str, more: &str) -> (u16, String) {
    let host = server.url.strip_prefix("ws://").unwrap();
    let response = server.http(&format!("{request} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn scheduler_books_by_put_and_every_page_changes() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    let mut pages = [client(&server), client(&server), client(&server)];
    let all_see = |pages: &mut [WebSocket], booked: &[(u64, &str)]| {
        for page in pages {
            assert_eq!(hear(page), ("slots".into(), slots(booked)));
        }
    };
    all_see(&mut pages, &[]);
    let (status, text) = ask(&server, "PUT /slots/9/Ann", "");
    assert_eq!((status, &*text), (200, "9:00 is booked for Ann\n"));
    all_see(&mut pages, &[(9, "Ann")]);
    // As fetch() sends it, and curl -X PUT -d ''.
    let (status, _) = ask(&server, "PUT /slots/10/J%C3%B6rg%20%3Cb%3E", "Content-Length: 0\r\n");
    assert_eq!(status, 200);
    let both = [(9, "Ann"), (10, "Jörg <b>")];
    all_see(&mut pages, &both);
    all_see(&mut [client(&server)], &both);

    let refused = ask(&server, "PUT /slots/9/Bob", "");
    assert_eq!(refused, (409, "9:00 is taken by Ann\n".into()));
    for (request, status) in [
        ("PUT /slots/8/Ann", 404),
        ("PUT /slots/99999999999999999999/Ann", 404),
        ("PUT /slots/-9/Ann", 404),
        ("PUT /slots/11", 404),
        ("PUT /slots/11/Ann/Bob", 404),
        ("POST /slots/11/Ann", 404),
        ("GET /slots/11/Ann", 404),
        ("PUT /slots/11/", 400),
        ("PUT /slots/11/%20", 400),
        ("PUT /slots/11/%ff", 400),
        ("PUT /slots/11/a%0Ab", 400),
        (&format!("PUT /slots/11/{}", "x".repeat(33)), 400),
        ("DELETE /slots/8", 404),
        ("DELETE /slots/11", 409),
    ] {
        assert_eq!(ask(&server, request, "").0, status, "{request}");
    }
    assert_eq!(ask(&server, "DELETE /slots/9", "").0, 200);
    // A percent sign that encodes nothing stands for itself.
    assert_eq!(ask(&server, "PUT /slots/12/5%zz", "").1, "12:00 is booked for 5%zz\n");
    assert_eq!(ask(&server, "DELETE /slots/12", "").0, 200);
    // Nothing of what was refused has changed anything.
    all_see(&mut pages, &[(10, "Jörg <b>")]);
}

#[test]
fn scheduler_changes_nothing_for_a_page_from_elsewhere() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    let own = server.url.replace("ws://", "Origin: http://") + "\r\n";
    for foreign in ["Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(ask(&server, "PUT /slots/9/Eve", foreign).0, 403);
        assert_eq!(ask(&server, "DELETE /slots/9", foreign).0, 403);
    }
    assert_eq!(hear(&mut client(&server)).1, slots(&[]));
    assert_eq!(ask(&server, "PUT /slots/9/Ann", &own).0, 200);
    let foreign = Connector::builder().origin("https://evil.example");
    let error = foreign.connect(&format!("{}/ws", server.url)).unwrap_err();
    assert!(matches!(error, ws_std::Error::Refused(response) if response.status() == 403));
}

#[test]
fn scheduler_tells_a_conflict_to_who_asked() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    let (mut ann, mut bob) = (client(&server), client(&server));
    hear(&mut ann);
    hear(&mut bob);
    say(&mut ann, "book", json!({ "hour": 9, "name": "Ann" }));
    let booked = ("slots".to_owned(), slots(&[(9, "Ann")]));
    assert_eq!([hear(&mut ann), hear(&mut bob)], [booked.clone(), booked]);
    assert_eq!(hear(&mut ann), ("done".into(), json!("9:00 is booked for Ann")));
    say(&mut bob, "book", json!({ "hour": 9, "name": "Bob" }));
    assert_eq!(hear(&mut bob), ("error".into(), json!("9:00 is taken by Ann")));
    // What a page has shown may be another's by the time of the click.
    say(&mut bob, "cancel", json!({ "hour": 9, "name": "Bob" }));
    assert_eq!(hear(&mut bob), ("error".into(), json!("9:00 is booked for Ann")));
    say(&mut bob, "cancel", json!({ "hour": 9, "name": "Ann" }));
    let free = ("slots".to_owned(), slots(&[]));
    assert_eq!([hear(&mut ann), hear(&mut bob)], [free.clone(), free]);
    assert_eq!(hear(&mut bob).0, "done");
}

#[test]
fn scheduler_answers_nonsense_with_an_error_and_goes_on() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    let mut ws = client(&server);
    hear(&mut ws);
    let wrong = [
        ("book", json!({ "hour": "9", "name": "Ann" })),
        ("book", json!({ "hour": 8, "name": "Ann" })),
        ("book", json!({ "hour": -9, "name": "Ann" })),
        ("book", json!({ "hour": 9.5, "name": "Ann" })),
        ("book", json!({ "hour": 9, "name": "x".repeat(33) })),
        ("book", json!({ "hour": 9, "name": ["Ann"] })),
        ("book", json!({ "hour": 9 })),
        ("cancel", json!({ "hour": 17 })),
        ("cancel", json!(9)),
    ];
    let wrong = wrong.map(|(name, data)| Message::from(event(name, data)));
    for message in nonsense().into_iter().chain(wrong) {
        ws.send(message.clone()).unwrap();
        assert_eq!(hear(&mut ws).0, "error", "{message:?}");
    }
    assert_eq!(hear(&mut client(&server)).1, slots(&[]));
}

#[test]
fn scheduler_loses_no_change_between_the_state_and_the_changes() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    let clients = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                assert_eq!(ask(&server, "PUT /slots/9/Ann", "").0, 200);
                assert_eq!(ask(&server, "DELETE /slots/9", "").0, 200);
            }
            assert_eq!(ask(&server, "PUT /slots/16/Last", "").0, 200);
        });
        let joins: Vec<_> = (0..20).map(|_| scope.spawn(|| client(&server))).collect();
        joins.into_iter().map(|join| join.join().unwrap()).collect::<Vec<_>>()
    });
    for mut ws in clients {
        let mut before = None;
        loop {
            let (_, state) = hear(&mut ws);
            if state == slots(&[(16, "Last")]) {
                break;
            }
            // Each change is seen once and in order: 9:00 is booked and free by turns.
            assert_ne!(before, Some(state.clone()));
            before = Some(state);
        }
    }
}

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
    assert_eq!((status, &*stderr), (Some(1), "ws: the server refused: status 403 Forbidden\n"));
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
