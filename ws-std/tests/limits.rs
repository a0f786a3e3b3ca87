//! Limits that an application sets: on the builders, and on an open connection.

mod common;

use std::io::Write;
use std::thread;
use std::time::Duration;

use common::*;
use ws_std::{
    CloseCode, Config, Connector, Error, HandshakeError, HttpResponse, Listener, ListenerBuilder,
    MemoryStream, Message, ProtocolError, Response, Result, SendError, Stream, WebSocket,
};

type Memory = WebSocket<Stream<MemoryStream>>;

/// A client and a server with these options; what became of the handshake on either side.
fn open(connector: Connector, options: ListenerBuilder) -> (Result<Memory>, Result<Memory>) {
    let (near, far) = MemoryStream::pair();
    let server = thread::spawn(move || options.request_over(far)?.accept());
    let client = within(move || connector.connect_over("ws://example.com/", near));
    (client, finish(server))
}

fn status(result: Result<Memory>) -> u16 {
    match result {
        Err(Error::Refused(response)) => response.status(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_head_of_a_request_is_limited() {
    let connector = || Connector::builder().header("X-Long", "x".repeat(20_000));
    let (client, _server) = open(connector(), Listener::builder());
    assert_eq!(status(client), 431);
    let (client, server) = open(connector(), Listener::builder().max_head(30_000));
    assert!(client.is_ok() && server.is_ok());

    let connector = || {
        (0..120).fold(Connector::builder(), |connector, n| connector.header(format!("X-{n}"), "1"))
    };
    let (client, server) = open(connector(), Listener::builder());
    assert_eq!(status(client), 431);
    assert!(
        matches!(&server, Err(Error::Handshake(found)) if found.error == HandshakeError::TooManyFields),
        "{server:?}"
    );
    let (client, server) = open(connector(), Listener::builder().max_fields(130));
    assert!(client.is_ok());
    assert_eq!(server.unwrap().request().unwrap().header("x-119"), Some("1"));
}

/// What a client makes of a response with this many further fields, each of this length.
fn answered(connector: Connector, fields: usize, len: usize) -> Result<()> {
    let (near, far) = MemoryStream::pair();
    let server = thread::spawn(move || -> Result<()> {
        let names: Vec<String> = (0..fields).map(|n| format!("X-{n}")).collect();
        let value = "x".repeat(len);
        let headers: Vec<_> = names.iter().map(|name| (&**name, &*value)).collect();
        let response = ws_std::AcceptResponse::new().headers(&headers);
        Listener::builder().request_over(far)?.accept_with(&response).map(drop)
    });
    let client = within(move || connector.connect_over("ws://example.com/", near).map(drop));
    finish(server).unwrap();
    client
}

#[test]
fn the_head_of_a_response_is_limited() {
    let error = answered(Connector::builder(), 1, 20_000).unwrap_err();
    assert!(
        matches!(&error, Error::Handshake(found) if found.error == HandshakeError::ResponseHeadTooLarge),
        "{error:?}"
    );
    answered(Connector::builder().max_head(30_000), 1, 20_000).unwrap();
    let error = answered(Connector::builder(), 120, 1).unwrap_err();
    assert!(
        matches!(&error, Error::Handshake(found) if found.error == HandshakeError::TooManyFields),
        "{error:?}"
    );
    answered(Connector::builder().max_fields(130), 120, 1).unwrap();
}

#[test]
fn the_body_of_a_refusal_is_kept_as_far_as_the_limit() {
    for (connector, kept) in [
        (Connector::builder(), 64 * 1024),
        (Connector::builder().max_body(10), 10),
        (Connector::builder().max_body(1 << 20), 100_000),
    ] {
        let (near, far) = MemoryStream::pair();
        let server = thread::spawn(move || {
            let body = vec![b'x'; 100_000];
            Listener::builder().request_over(far)?.http(&HttpResponse::new(403).body(&body))
        });
        let error = within(move || connector.connect_over("ws://example.com/", near).unwrap_err());
        let Error::Refused(response) = error else { panic!("{error}") };
        let response: &Response = &response;
        assert_eq!((response.status(), response.body().len()), (403, kept));
        finish(server).unwrap();
    }
}

/// Sends until the peer, who takes nothing, has made that fail for want of room; how much was taken by then.
fn fill(ws: &mut WebSocket<impl ws_std::Transport>) -> usize {
    ws.set_write_timeout(Some(Duration::from_millis(1)));
    let mut taken = 0;
    loop {
        match ws.send(vec![7; 10_000]) {
            Ok(()) | Err(Error::Timeout(_)) => taken += 10_000,
            Err(Error::Send(SendError::OutputFull)) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_waits_to_be_written_is_limited_on_either_side() {
    // More than the sockets take, and far less than the default of 16 MiB beyond that.
    const SOCKETS: usize = 12 << 20;
    let (address, server) = serve(Listener::builder().max_output(50_000), |incoming| {
        fill(&mut incoming.accept().unwrap())
    });
    let peer = Raw::open(address);
    assert!(finish(server) < SOCKETS);
    drop(peer);
    let (url, server) = play(|mut raw| {
        let head = raw.head();
        raw.write(answer(&head).as_bytes());
        raw
    });
    let taken =
        within(move || fill(&mut Connector::builder().max_output(50_000).connect(&url).unwrap()));
    assert!(taken < SOCKETS);
    finish(server);
}

#[test]
fn a_peer_that_has_logged_in_may_send_longer_messages() {
    let options = || Listener::builder().config(Config::new().max_message(5));
    let long = Message::from(vec![7; 100_000]);

    let (client, server) = open(Connector::builder(), options());
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.send("login").unwrap();
    assert_eq!(server.read().unwrap(), Some("login".into()));
    server.set_max_message(100_000);
    client.send(long.clone()).unwrap();
    assert_eq!(server.read().unwrap(), Some(long.clone()));
    let (mut reader, _writer) = server.split().unwrap();
    reader.set_max_message(99_999);
    client.send(long.clone()).unwrap();
    drop(client);
    let error = within(move || reader.read().unwrap_err());
    assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooLarge)), "{error}");

    let (client, server) = open(Connector::builder(), options());
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.send(long).unwrap();
    drop(client);
    let error = within(move || server.read().unwrap_err());
    assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooLarge)), "{error}");
}

// RFC 6455 §7.1.1: a server waits for the client to end the stream, but not for one that sends without end
#[test]
fn at_most_64_mib_are_dropped_after_the_end() {
    const MOST: usize = 64 << 20;
    let builder = Listener::builder().config(Config::new().close_timeout(Some(LONG)));
    let (mut ws, mut raw) = common::open(builder);
    let peer = thread::spawn(move || {
        raw.expect(CLOSE, &close(1000, ""));
        raw.write(&masked(CLOSE, &close(1000, "")));
        let (junk, mut sent) = (vec![7; 64 * 1024], 0);
        while let Ok(count) = raw.stream.write(&junk) {
            sent += count;
        }
        sent
    });
    within(move || ws.close(CloseCode::NORMAL, "").map(drop)).unwrap();
    // What the buffers of both sockets hold is sent, too.
    let sent = finish(peer);
    assert!((MOST..MOST + (32 << 20)).contains(&sent), "{sent}");
}
