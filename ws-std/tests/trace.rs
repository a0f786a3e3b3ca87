//! What goes over a connection, told to a hook.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::*;
use ws_std::{Connector, Hub, Listener, Trace};

type Lines = Arc<Mutex<Vec<String>>>;

fn hook(lines: &Lines) -> impl Fn(&Trace<'_>) + Send + Sync + 'static {
    let lines = lines.clone();
    move |trace| {
        assert!(trace.peer.is_some_and(|peer| peer.ip().is_loopback()));
        lines.lock().unwrap().push(trace.to_string());
    }
}

#[test]
fn both_ends_tell_the_same() {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let builder = Listener::builder().trace(hook(&theirs));
    let (address, server) = serve(builder, |incoming| {
        let (mut reader, writer) = incoming.accept().unwrap().split().unwrap();
        while let Some(message) = reader.read().unwrap() {
            writer.send(message).unwrap();
        }
    });
    let connector = Connector::builder().trace(hook(&ours));
    within(move || {
        let mut ws = connector.connect(&format!("ws://{address}/")).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.read().unwrap().unwrap().as_text(), Some("hello"));
        ws.send(vec![7; 100_000]).unwrap();
        assert_eq!(ws.read().unwrap().unwrap().len(), 100_000);
        ws.close(None, "").unwrap();
    });
    finish(server);
    let ours = ours.lock().unwrap().clone();
    assert!(ours[0].starts_with("> GET / HTTP/1.1\n> Host: "), "{ours:?}");
    assert!(ours[1].starts_with("< HTTP/1.1 101 "), "{ours:?}");
    let bytes = format!("binary, 100000 bytes: {}…", "07".repeat(64));
    let frames = [
        "> text, 5 bytes: \"hello\"".to_owned(),
        "< text, 5 bytes: \"hello\"".to_owned(),
        format!("> {bytes}"),
        format!("< {bytes}"),
        "> close, 0 bytes".to_owned(),
        "< close, 0 bytes".to_owned(),
    ];
    assert_eq!(ours[2..], frames);
    let turned = |line: &String| match line.split_at(1) {
        (">", rest) => format!("<{}", rest.replace("\n>", "\n<")),
        (_, rest) => format!(">{}", rest.replace("\n<", "\n>")),
    };
    let theirs = theirs.lock().unwrap().clone();
    assert_eq!(theirs, ours.iter().map(turned).collect::<Vec<_>>());
}

// The bytes that it was told of are on the wire: nobody writes them again.
#[test]
fn a_hook_that_panics_ends_the_writing() {
    let builder = Listener::builder().trace(|trace| {
        assert!(!trace.to_string().contains("boom"), "as it should");
    });
    let (address, server) = serve(builder, |incoming| {
        let (reader, writer) = incoming.accept().unwrap().split().unwrap();
        let other = writer.clone();
        std::thread::spawn(move || other.send("boom")).join().unwrap_err();
        writer.send("after").unwrap_err();
        drop(reader);
    });
    let mut raw = Raw::open(address);
    raw.expect(TEXT, b"boom");
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    finish(server);
}

// Else the half that is dropped tells the hook of its Close frame, and the process ends.
#[test]
fn a_hook_that_panics_while_reading_ends_only_its_connection() {
    for in_hub in [false, true] {
        let panics = AtomicBool::new(false);
        let builder = Listener::builder().trace(move |trace| {
            panics.fetch_or(trace.to_string().contains("hello"), Ordering::Relaxed);
            assert!(!panics.load(Ordering::Relaxed), "as it should");
        });
        let (address, server) = serve(builder, move |incoming| {
            let ws = incoming.accept().unwrap();
            if in_hub {
                Hub::new().join(ws).unwrap().read().map(drop)
            } else {
                let (mut reader, _writer) = ws.split().unwrap();
                reader.read().map(drop)
            }
        });
        let mut raw = Raw::open(address);
        raw.write(&masked(TEXT, b"hello"));
        raw.expect(CLOSE, &close(1011, ""));
        raw.write(&masked(CLOSE, &close(1011, "")));
        server.join().unwrap_err();
        assert_eq!(raw.read_to_the_end().unwrap(), b"");
    }
}

// RFC 6455 §7.1.7: the application is told an unclean end, and the trace why
#[test]
fn http_after_our_close_frame_is_traced() {
    let lines = Lines::default();
    let (mut ws, mut client) = open(Listener::builder().trace(hook(&lines)));
    ws.start_close(1000, "").unwrap();
    client.expect(CLOSE, &close(1000, ""));
    client.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    assert_eq!(ws.read().unwrap(), None);
    assert_eq!(ws.close_info().unwrap().code.get(), 1006);
    let last = lines.lock().unwrap().last().unwrap().clone();
    assert!(last.starts_with("< no frame: the peer sent HTTP: \"HTTP/"), "{last}");
    drop(client);
}
