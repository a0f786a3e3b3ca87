//! Whether a closing was clean, and that there is one only.

mod common;
#[path = "common/slow.rs"]
mod slow;

use std::thread;
use std::time::{Duration, Instant};

use common::*;
use slow::*;
use ws_std::ws_core::SendError;
use ws_std::{CloseCode, Config, Error, Listener};

#[test]
fn closing_from_several_threads_is_one_closing_handshake() {
    let (ws, mut client) = small_pair(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    let closing: Vec<_> = (0..8)
        .map(|_| {
            let writer = writer.clone();
            thread::spawn(move || writer.start_close(CloseCode::NORMAL, "bye"))
        })
        .collect();
    let results: Vec<_> = closing.into_iter().map(finish).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(result, Error::Send(SendError::Closing)), "{result:?}");
    }
    let reading = thread::spawn(move || {
        assert_eq!(reader.read().unwrap(), None);
        assert_eq!(reader.read().unwrap(), None);
        reader.close_info().unwrap()
    });
    client.expect(CLOSE, &close(1000, "bye"));
    client.write(&masked(CLOSE, &close(1000, "bye")));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    let info = finish(reading);
    assert!(info.clean && info.by_us, "{info:?}");
}

#[test]
fn an_ordinary_closing_is_clean_on_both_sides_whoever_begins() {
    for server_begins in [false, true] {
        let (address, server) = serve(Listener::builder(), move |incoming| {
            let mut ws = incoming.accept().unwrap();
            if server_begins {
                return ws.close(CloseCode::NORMAL, "done").unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        let client = within(move || {
            let mut ws = ws_std::connect(&format!("ws://{address}")).unwrap();
            if !server_begins {
                return ws.close(CloseCode::NORMAL, "done").unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        let server = finish(server);
        assert!(server.clean && client.clean, "{server:?} {client:?}");
        assert_eq!((server.by_us, client.by_us), (server_begins, !server_begins));
        assert_eq!((server.code, client.code), (CloseCode::NORMAL, CloseCode::NORMAL));
    }
}

// The peer's Close frame has come, and ours cannot be written behind what the peer does not take.
#[test]
fn a_closing_is_not_clean_when_our_close_frame_could_not_be_written() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    let builder = Listener::builder().config(config).write_timeout(Some(PAUSE));
    for split in [false, true] {
        let (mut ws, mut client) = small_pair(builder.clone());
        ws.send(payload()).unwrap_err();
        client.write(&masked(CLOSE, &close(1000, "bye")));
        let begun = Instant::now();
        let info = within(move || {
            if split {
                let (mut reader, _writer) = ws.split().unwrap();
                assert_eq!(reader.read().unwrap(), None);
                return reader.close_info().unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        assert_eq!((info.code, &info.reason[..]), (CloseCode::NORMAL, "bye"));
        assert!(!info.clean && !info.by_us, "{info:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

// By RST, which destroys what is on the way.
#[test]
fn a_closing_is_not_clean_after_a_reset() {
    for closes in [false, true] {
        let (mut ws, mut client) = small_pair(Listener::builder());
        ws.send("unread").unwrap();
        if closes {
            ws.start_close(CloseCode::NORMAL, "").unwrap();
        }
        client.stream.peek(&mut [0]).unwrap();
        client.write(b"");
        client.reset();
        let info = within(move || {
            while ws.read().unwrap().is_some() {}
            ws.close_info().unwrap()
        });
        assert_eq!((info.code, info.clean, info.by_us), (CloseCode::ABNORMAL, false, closes));
    }
}
