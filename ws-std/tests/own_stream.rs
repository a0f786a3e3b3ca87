//! Streams of the caller's: a server over one, a client over one, and both in memory.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::*;
use ws_std::{
    AcceptResponse, CloseCode, Config, Connector, Deadline, Error, HttpResponse, Listener,
    MemoryStream, Message, Origins, Stream, Tcp, Transport, pair,
};

/// A server and a client over two ends of a stream talk, and close.
fn talk<T: Transport + Send + 'static>(near: T, far: T) {
    let server = thread::spawn(move || {
        let request = Listener::builder().protocols(["chat"]).request_over(far).unwrap();
        assert!(request.is_upgrade());
        assert_eq!((request.path(), request.header("x-token")), ("/room", Some("secret")));
        let mut ws = request.accept().unwrap();
        assert_eq!(ws.subprotocol(), Some("chat"));
        assert_eq!(ws.request().unwrap().path(), "/room");
        while let Some(message) = ws.read().unwrap() {
            ws.queue(message).unwrap();
        }
        ws.close_info().unwrap()
    });
    let how = within(move || {
        let connector = Connector::builder().protocols(["chat"]).header("X-Token", "secret");
        let mut ws = connector.connect_over("ws://example.com/room", near).unwrap();
        assert_eq!(ws.subprotocol(), Some("chat"));
        for message in [Message::from("hello"), Message::from(vec![1; 100_000])] {
            ws.send(message.clone()).unwrap();
            assert_eq!(ws.read().unwrap(), Some(message));
        }
        ws.close(CloseCode::NORMAL, "bye").unwrap()
    });
    assert_eq!((how.code, how.clean, how.by_us), (CloseCode::NORMAL, true, true));
    let how = finish(server);
    assert_eq!((how.code, &*how.reason, how.clean), (CloseCode::NORMAL, "bye", true));
}

#[test]
fn a_server_runs_over_an_accepted_tcp_stream() {
    let (near, far) = tcp();
    talk(near, far);
    let (near, far) = tcp();
    talk(Tcp::from(near), Tcp::from(far));
}

#[cfg(unix)]
#[test]
fn a_server_runs_over_a_unix_socket() {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    talk(near, far);
}

#[test]
fn a_server_runs_over_a_stream_in_memory() {
    let (near, far) = MemoryStream::pair();
    talk(near, far);
}

#[test]
fn a_server_follows_a_header_of_the_proxy_protocol() {
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    let (mut near, mut far) = tcp();
    near.write_all(HEADER).unwrap();
    let server = thread::spawn(move || {
        let mut header = vec![0; HEADER.len()];
        far.read_exact(&mut header).unwrap();
        assert_eq!(header, HEADER);
        Listener::builder().request_over(far).unwrap().accept().unwrap().read().unwrap()
    });
    let mut ws =
        within(move || Connector::builder().connect_over("ws://example.com/", near).unwrap());
    ws.send("behind a proxy").unwrap();
    assert_eq!(finish(server), Some("behind a proxy".into()));
}

#[test]
fn a_server_over_a_stream_rejects_and_answers_plain_http() {
    for (request, upgrade, start) in [
        (REQUEST, true, "HTTP/1.1 404 Not Found\r\n"),
        ("GET /page HTTP/1.1\r\nHost: h\r\n\r\n", false, "HTTP/1.1 200 OK\r\n"),
    ] {
        let (mut near, far) = tcp();
        near.write_all(request.as_bytes()).unwrap();
        let server = thread::spawn(move || {
            let request = Listener::builder().request_over(far).unwrap();
            assert_eq!(request.is_upgrade(), upgrade);
            if upgrade {
                request.reject(404).unwrap();
            } else {
                assert_eq!(request.path(), "/page");
                request.http(&HttpResponse::new(200).body(b"a page")).unwrap();
            }
        });
        let mut came = String::new();
        near.set_read_timeout(Some(LONG)).unwrap();
        near.read_to_string(&mut came).unwrap();
        assert!(came.starts_with(start), "{came}");
        assert_eq!(came.ends_with("\r\n\r\na page"), !upgrade, "{came}");
        drop(near);
        finish(server);
    }
}

#[test]
fn a_server_over_a_stream_answers_a_faulty_request() {
    let (mut near, far) = tcp();
    let server = thread::spawn(move || Listener::builder().request_over(far).unwrap_err());
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut came = String::new();
    near.read_to_string(&mut came).unwrap();
    assert!(came.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{came}");
    drop(near);
    assert!(matches!(finish(server), Error::Handshake(_)));
}

#[test]
fn a_server_over_a_stream_keeps_the_options_of_the_builder() {
    let (near, far) = MemoryStream::pair();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = seen.clone();
    let server = thread::spawn(move || {
        let options = Listener::builder()
            .config(Config::new().max_message(3))
            .read_timeout(Some(Duration::ZERO))
            .trace(move |trace| lines.lock().unwrap().push((trace.peer, trace.to_string())));
        let response = AcceptResponse::new().headers(&[("X-Room", "1")]);
        let mut ws = options.request_over(far).unwrap().accept_with(&response).unwrap();
        assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
        ws.set_read_timeout(None);
        ws.send("ready").unwrap();
        ws.read().unwrap_err()
    });
    let code = within(move || {
        let mut ws = Connector::builder().connect_over("ws://example.com/", near).unwrap();
        assert_eq!(ws.response().unwrap().header("x-room"), Some("1"));
        assert_eq!(ws.read().unwrap(), Some("ready".into()));
        ws.send("long").unwrap();
        assert_eq!(ws.read().unwrap(), None);
        ws.close_info().unwrap().code
    });
    assert_eq!(code, CloseCode::MESSAGE_TOO_BIG);
    assert!(matches!(finish(server), Error::Protocol(_)));
    let seen = seen.lock().unwrap();
    assert!(seen[0].1.starts_with("< GET / HTTP/1.1"), "{seen:?}");
    assert!(seen.iter().all(|(peer, _)| peer.is_none()));
}

#[test]
fn a_server_over_a_stream_waits_for_a_request_as_long_as_it_is_told() {
    let (_near, far) = MemoryStream::pair();
    let options = Listener::builder().handshake_timeout(Some(Duration::from_millis(1)));
    let error = within(move || options.request_over(far).unwrap_err());
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error}");
}

// RFC 6455 §10.2
#[test]
fn over_encrypted_streams_a_page_from_the_same_host_has_to_be_secure() {
    for (origin, encrypted, status) in [
        ("http://example.com", false, None),
        ("https://example.com", true, None),
        ("http://example.com", true, Some(403)),
    ] {
        let (near, far) = MemoryStream::pair();
        let server = thread::spawn(move || {
            let options = Listener::builder().origins(Origins::Same);
            let options = if encrypted { options.encrypted() } else { options };
            options.request_over(far).and_then(|request| request.accept()).map(drop)
        });
        let connector = Connector::builder().origin(origin);
        let client = within(move || connector.connect_over_encrypted("wss://example.com/", near));
        let refused = match client {
            Ok(_) => None,
            Err(Error::Refused(response)) => Some(response.status()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused, status, "{origin} {encrypted}");
        assert_eq!(finish(server).is_err(), status.is_some());
    }
}

#[cfg(not(feature = "rustls"))]
#[test]
fn a_wss_url_over_a_stream_needs_the_feature_and_sends_nothing() {
    let (near, mut far) = MemoryStream::pair();
    let error = Connector::builder().connect_over("wss://example.com/", near).unwrap_err();
    assert!(matches!(error, Error::Url(ws_std::UrlError::Tls)), "{error}");
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_pair_is_open_and_knows_its_handshake() {
    let (client, server) = within(|| pair().unwrap());
    assert!(client.is_open() && server.is_open());
    assert_eq!(server.request().unwrap().target(), "/");
    assert_eq!(server.request().unwrap().header("host"), Some("localhost"));
    assert_eq!(client.response().unwrap().status(), 101);
    let Stream::Plain(_) = client.stream() else { panic!("not a plain stream") };
}

#[test]
fn one_thread_plays_both_sides_of_a_pair() {
    within(|| {
        let (mut client, mut server) = pair().unwrap();
        let long = Message::from(vec![7; 10 << 20]);
        client.send(long.clone()).unwrap();
        client.send("last").unwrap();
        client.start_close(CloseCode::NORMAL, "bye").unwrap();
        assert_eq!(server.read().unwrap(), Some(long));
        assert_eq!(server.read().unwrap(), Some("last".into()));
        drop(client);
        assert_eq!(server.read().unwrap(), None);
        let how = server.close_info().unwrap();
        assert_eq!((how.code, &*how.reason), (CloseCode::NORMAL, "bye"));
    });
}

#[test]
fn both_sides_of_a_pair_can_be_split_and_closed() {
    let (client, server) = within(|| pair().unwrap());
    let server = thread::spawn(move || {
        let (mut reader, writer) = server.split().unwrap();
        while let Some(message) = reader.read().unwrap() {
            writer.send(message).unwrap();
        }
        reader.close_info().unwrap()
    });
    let how = within(move || {
        let (mut reader, writer) = client.split().unwrap();
        writer.send("hello").unwrap();
        assert_eq!(reader.read().unwrap(), Some("hello".into()));
        writer.start_close(CloseCode::GOING_AWAY, "").unwrap();
        assert_eq!(reader.read().unwrap(), None);
        reader.close_info().unwrap()
    });
    assert_eq!((how.code, how.clean, how.by_us), (CloseCode::GOING_AWAY, true, true));
    assert!(finish(server).clean);
}

#[test]
fn a_peer_of_a_pair_that_is_dropped_is_an_unclean_end() {
    within(|| {
        let (mut client, server) = pair().unwrap();
        drop(server);
        assert_eq!(client.read().unwrap(), None);
        let how = client.close_info().unwrap();
        assert_eq!((how.code, how.clean), (CloseCode::ABNORMAL, false));
    });
}

#[test]
fn a_stream_in_memory_ends_as_a_socket_does() {
    let (mut near, mut far) = MemoryStream::pair();
    near.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    let clone = far.try_clone().unwrap();
    far.write_all(b"last").unwrap();
    far.shutdown_write().unwrap();
    assert_eq!(far.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut came = [0; 8];
    assert_eq!(near.read(&mut came).unwrap(), 4);
    assert_eq!(&came[..4], b"last");
    assert_eq!(near.read(&mut came).unwrap(), 0);
    near.write_all(b"still taken").unwrap();
    drop(far);
    near.write_all(b"by the clone").unwrap();
    drop(clone);
    assert_eq!(near.write(b"nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn the_stream_can_be_looked_at_changed_and_taken_back() {
    let (near, far) = MemoryStream::pair();
    let server = thread::spawn(|| Listener::builder().request_over(far).unwrap().accept().unwrap());
    let connector = Connector::builder().read_timeout(Some(Duration::from_millis(1)));
    let mut client = within(move || connector.connect_over("ws://example.com/", near).unwrap());
    let mut server = finish(server);
    assert!(client.read().is_err());
    assert!(matches!(client.stream_mut(), Stream::Plain(_)));
    client.send("written").unwrap();
    client.queue("lost").unwrap();
    server.send("read").unwrap();
    server.send("read ahead, and lost").unwrap();
    client.set_read_timeout(None);
    assert_eq!(client.read().unwrap(), Some("read".into()));
    let mut near = client.into_inner();
    assert_eq!(server.read().unwrap(), Some("written".into()));
    let mut far = server.into_inner();
    far.write_all(b"another protocol").unwrap();
    far.shutdown_write().unwrap();
    let mut came = String::new();
    // It has no time-out any more, and is not closed.
    near.read_to_string(&mut came).unwrap();
    assert_eq!(came, "another protocol");
    drop(near);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}
