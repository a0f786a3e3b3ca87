//! What holds for the types, whatever they do.

// Each of these would be fulfilled no more without the warning that it is about.
#![deny(unfulfilled_lint_expectations)]

mod common;

use common::*;
use ws_std::{
    AcceptResponse, Connector, Error, Hub, Incoming, Listener, ListenerBuilder, ListenerHandle,
    Member, MemberId, MemoryStream, MessageKind, MessageReader, MessageWriter, PendingRequest,
    PreparedMessage, Reader, Replier, Request, Result, Stream, Tcp, Transport, UrlError, WebSocket,
    Writer,
};

fn send<T: Send>() {}
fn sync<T: Send + Sync>() {}

#[test]
fn all_go_to_other_threads_and_some_are_shared() {
    sync::<Connector>();
    sync::<Error>();
    sync::<Hub>();
    sync::<Listener>();
    sync::<MemoryStream>();
    sync::<ListenerBuilder>();
    sync::<ListenerHandle>();
    sync::<Member>();
    sync::<MemberId>();
    sync::<PreparedMessage>();
    sync::<Reader>();
    sync::<Stream>();
    sync::<Tcp>();
    sync::<UrlError>();
    sync::<Writer>();
    sync::<Incoming>();
    send::<Request>();
    send::<PendingRequest>();
    send::<WebSocket>();
    send::<MessageReader<'_>>();
    send::<MessageWriter<'_>>();
    send::<Replier<'_, Stream>>();
    of_any_stream::<Stream>();
    #[cfg(feature = "rustls")]
    {
        sync::<ws_std::TlsError>();
        sync::<ws_std::TlsStream>();
    }
}

/// A stream that is not [`Sync`] will do, but for the half that has it to itself.
fn of_any_stream<T: Transport + Send>() {
    send::<WebSocket<T>>();
    send::<Reader<T>>();
    send::<PendingRequest<T>>();
    sync::<Writer<T>>();
}

#[test]
fn what_is_lost_when_it_is_dropped_is_warned_of() {
    #[expect(unused_must_use)]
    fn member(hub: &Hub, ws: WebSocket) -> Result<()> {
        hub.join(ws)?;
        Ok(())
    }
    #[expect(unused_must_use)]
    fn writer(ws: &mut WebSocket) {
        ws.write_stream(MessageKind::Text);
    }
    #[expect(unused_must_use)]
    fn reader(ws: &mut WebSocket) -> Option<()> {
        ws.read_stream().ok()??;
        Some(())
    }
    #[expect(unused_must_use)]
    fn halves(ws: WebSocket) -> Result<()> {
        ws.split()?;
        Ok(())
    }
    #[expect(unused_must_use)]
    fn listener() -> Result<()> {
        ws_std::listen("127.0.0.1:0")?;
        Ok(())
    }
    #[expect(unused_must_use)]
    fn incoming(listener: &Listener) -> Result<()> {
        listener.accept()?;
        Ok(())
    }
    #[expect(unused_must_use)]
    fn request(incoming: Incoming) -> Result<()> {
        incoming.request()?;
        Ok(())
    }
    let _ = (member, writer, reader, halves, listener, incoming, request);
}

/// Header fields are shown by name, and of a target only the path.
#[track_caller]
fn shows(debug: &str, expected: &[&str]) {
    assert!(!debug.contains("hunter"), "{debug}");
    // As bytes, as of a buffer.
    assert!(!debug.contains("104, 117, 110, 116, 101, 114"), "{debug}");
    for part in expected {
        assert!(debug.contains(part), "no {part} in {debug}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let builder = Listener::builder().trace(|_| {});
    let (address, server) = serve(builder, |incoming| {
        let request = incoming.request().unwrap();
        assert_eq!(request.header("Cookie"), Some("id=hunter1"));
        shows(&format!("{request:?}"), &["Cookie", "Authorization", "/chat"]);
        let headers: &[(&str, &str)] = &[("Set-Cookie", "id=hunter4")];
        let response = AcceptResponse::new().headers(headers);
        let ws = request.accept_with(&response).unwrap();
        shows(&format!("{ws:?}"), &["Cookie", "Authorization", "/chat"]);
        let (reader, writer) = ws.split().unwrap();
        shows(&format!("{reader:?} {writer:?}"), &[]);
    });
    within(move || {
        let connector = Connector::builder()
            .header("Cookie", "id=hunter1")
            .header("Authorization", "Bearer hunter2")
            .trace(|_| {});
        shows(&format!("{connector:?}"), &["Cookie", "Authorization"]);
        let mut ws = connector.connect(&format!("ws://{address}/chat?token=hunter3")).unwrap();
        assert_eq!(ws.response().unwrap().header("Set-Cookie"), Some("id=hunter4"));
        shows(&format!("{ws:?}"), &["Set-Cookie"]);
        assert_eq!(ws.read().unwrap(), None);
    });
    finish(server);
}

#[test]
fn a_refusal_shows_no_secrets() {
    let (url, server) = play(|mut raw| {
        raw.head();
        let head = "HTTP/1.1 403 No\r\nSet-Cookie: id=hunter1\r\nContent-Length: 0\r\n\r\n";
        raw.write(head.as_bytes());
        let _ = raw.read_to_the_end();
    });
    let error = within(move || ws_std::connect(&url)).unwrap_err();
    finish(server);
    shows(&format!("{error:?}"), &["403", "Set-Cookie"]);
}
