//! The chat and the scheduler: what they promise, by several clients.

mod support;

use std::thread;

use serde_json::{Value, json};
use support::{LONG, Server, outcome, run};
use ws_examples::app::expect_event as expect;
use ws_examples::events::{self, event};
use ws_std::{CloseCode, Connector, Message, WebSocket};

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
fn scheduler_checks_itself() {
    let (status, stdout, stderr) = outcome(&run("scheduler", &["--self-check"], ""));
    assert_eq!((status, &*stderr), (Some(0), ""));
    assert!(stdout.ends_with(" is well\n"), "{stdout}");
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
    // That it has ended is told, too: who is not in a room does not get the text that ends it.
    for typing in [true, false] {
        say(&mut ann, "typing", typing);
        let told = ("typing".to_owned(), json!({ "id": id, "name": name, "typing": typing }));
        assert_eq!([hear(&mut bob), hear(&mut cid)], [told.clone(), told]);
    }
    say(&mut ann, "chat", "<img src=x onerror=alert(1)>");
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
        ("name", json!("\u{202e}nnA")),
        ("name", json!("\u{200b}")),
        ("subscribe", json!("\u{2060}")),
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
fn names_can_be_seen_and_keep_to_their_order() {
    let name = |chosen: &str| events::name(Some(chosen));
    for good in ["Ann", "علی\u{200c}رضا", "👩\u{200d}🚀", "בוב", "a\u{ad}b"] {
        assert_eq!(name(good), Ok(good.to_owned()));
    }
    let unseen = Err("a name can be seen".to_owned());
    for bad in [
        "\u{200b}",
        "\u{200d}\u{200c}",
        "\u{2060} \u{2064}",
        "\u{feff}",
        "\u{206f}",
        "\u{ad}",
        "\u{3164}",
    ] {
        assert_eq!(name(bad), unseen, "{bad:?}");
    }
    let turned = Err("a name is one line, in its natural order".to_owned());
    for turn in
        ('\u{200e}'..='\u{200f}').chain('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}')
    {
        assert_eq!(name(&format!("A{turn}b")), turned, "{turn:?}");
        assert!(name(&turn.to_string()).is_err(), "{turn:?}");
    }
}

#[test]
fn pages_are_served_and_never_make_html_of_what_users_say() {
    for (name, page) in [
        ("chat", include_str!("../pages/chat.html")),
        ("scheduler", include_str!("../pages/scheduler.html")),
    ] {
        let server = Server::start(name, &["127.0.0.1:0"]);
        let response = server.http("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with(page));
        // RFC 9110 §9.3.2: the same without the body.
        let head = server.http("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
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
        ("PUT /slots/011/Ann", 404),
        ("PUT /slots/+11/Ann", 404),
        ("PUT /slots/%31%31/Ann", 404),
        ("GET /slots/8/Ann", 404),
        ("PUT /slots/11/Ann/Bob", 404),
        ("PUT /slots/11", 400),
        ("PUT /slots/11/", 400),
        ("PUT /slots/11/%20", 400),
        ("PUT /slots/11/%", 400),
        ("PUT /slots/11/a%2", 400),
        ("PUT /slots/11/5%zz", 400),
        ("PUT /slots/11/%+a", 400),
        ("PUT /slots/11/%25%", 400),
        ("PUT /slots/11/a%0Ab", 400),
        ("PUT /slots/11/%E2%80%AEAnn", 400),
        (&format!("PUT /slots/11/{}", "x".repeat(33)), 400),
        ("DELETE /slots/8", 404),
        ("DELETE /slots/011", 404),
        ("DELETE /slots/11", 409),
    ] {
        assert_eq!(ask(&server, request, "").0, status, "{request}");
    }
    assert_eq!(ask(&server, "DELETE /slots/9", "").0, 200);
    let refused = ask(&server, "PUT /slots/11/%ff", "");
    assert_eq!(refused, (400, "a name is in UTF-8\n".into()));
    let refused = ask(&server, "PUT /slots/11/%zz", "");
    assert_eq!(refused, (400, "a percent sign comes before two hexadecimal digits\n".into()));
    // Nothing of what was refused has changed anything.
    all_see(&mut pages, &[(10, "Jörg <b>")]);
}

// RFC 9110 §15.5.6.
#[test]
fn a_path_without_the_method_is_405_and_tells_the_methods_that_it_has() {
    let server = Server::start("scheduler", &["127.0.0.1:0"]);
    for (request, methods) in [
        ("GET /slots/9/Ann", "PUT"),
        ("HEAD /slots/9/Ann", "PUT"),
        ("POST /slots/9/Ann", "PUT"),
        ("DELETE /slots/9/Ann", "PUT"),
        ("GET /slots/9", "DELETE"),
        ("PATCH /slots/9", "DELETE"),
        ("PUT /ws", "GET, HEAD"),
        ("POST /", "GET, HEAD"),
        ("DELETE /app.css", "GET, HEAD"),
        ("OPTIONS /socket.js", "GET, HEAD"),
    ] {
        let response = server.http(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(
            response.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
            "{request}: {response}"
        );
        assert!(response.contains(&format!("\r\nAllow: {methods}\r\n")), "{request}: {response}");
    }
    assert_eq!(hear(&mut client(&server)).1, slots(&[]));
    let clock = Server::start("clock", &["127.0.0.1:0"]);
    let response = clock.http("PUT /origins HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
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
