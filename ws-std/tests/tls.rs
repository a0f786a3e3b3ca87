//! How connections over TLS are opened, and how they are not.

mod common;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use tls::*;
use ws_std::rustls::pki_types::UnixTime;
use ws_std::rustls::server::Acceptor;
use ws_std::rustls::time_provider::TimeProvider;
use ws_std::rustls::{self, AlertDescription, CertificateError, Connection, ServerConfig};
use ws_std::{
    CloseCode, Config, Connector, Deadline, Error, HttpResponse, Incoming, Listener, MemoryStream,
    Message, Stream, TlsError, TlsStream, UrlError, connect,
};

/// A URL with a host that the certificate is for.
fn url(address: std::net::SocketAddr) -> String {
    format!("wss://localhost:{}/chat?x=1", address.port())
}

/// A TLS server for one connection, played by `script`; its URL.
fn play_tls<T: Send + 'static>(
    config: ServerConfig,
    script: impl FnOnce(RawTls) -> T + Send + 'static,
) -> (String, thread::JoinHandle<T>) {
    let (url, server) = play(move |raw| script(RawTls::server(raw, config)));
    (url.replace("ws://127.0.0.1", "wss://localhost"), server)
}

/// A clock of two hundred years hence.
#[derive(Debug)]
struct Late;

impl TimeProvider for Late {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(230 * 365 * 86_400)))
    }
}

fn late_client() -> rustls::ClientConfig {
    let mut config = client_config(ALL);
    config.time_provider = Arc::new(Late);
    config
}

/// A server over TLS that takes one connection, and its URL.
fn serve_tls<T: Send + 'static>(
    handler: impl FnOnce(Incoming) -> T + Send + 'static,
) -> (String, thread::JoinHandle<T>) {
    let (address, server) = serve(listener(), handler);
    (url(address), server)
}

// The last record is encrypted, and the stream ends by close_notify.
#[test]
fn a_thread_that_panics_closes_with_1011_under_tls() {
    let (url, server) = serve_tls(|incoming| {
        let _ws = incoming.accept().unwrap();
        panic!("the application");
    });
    let mut ws = within(move || connector().connect(&url).unwrap());
    let how = within(move || ws.read().map(|message| (message, ws.close_info().unwrap())));
    let (message, how) = how.unwrap();
    assert_eq!((message, how.code, how.clean), (None, CloseCode::INTERNAL_ERROR, true));
    assert!(server.join().is_err());
}

// RFC 6455 §4.1: TLS is up before the request, and a bad certificate fails.
#[test]
fn tls_bad_cert_fails_before_request() {
    for (certificate, client, said) in [
        ("alien", client_config(ALL), "not signed by an authority"),
        ("other", client_config(ALL), "certificate not valid for name \"localhost\""),
        ("server", late_client(), "certificate expired"),
        ("client", client_config(ALL), "extended key usage"),
        ("alien", client_config(&[&rustls::version::TLS12]), "not signed by an authority"),
    ] {
        let (url, server) = play_tls(server_config(certificate), |mut peer| {
            let error = peer.handshake().unwrap_err();
            let _ = peer.tcp.read_to_end(&mut peer.came);
            (error.downcast::<rustls::Error>().unwrap(), peer.plain().to_vec(), peer.came)
        });
        let client = Connector::builder().tls(Arc::new(client));
        let error = within(move || client.connect(&url).unwrap_err());
        assert!(
            matches!(error, Error::Tls(TlsError::Failed(rustls::Error::InvalidCertificate(_)))),
            "{error:?}"
        );
        assert!(error.to_string().contains(said), "{error}");
        let (alert, plain, came) = finish(server);
        assert!(matches!(alert, rustls::Error::AlertReceived(_)), "{alert:?}");
        assert!(plain.is_empty(), "{plain:?}");
        // An alert, encrypted or not, is as short as that; a request is not.
        let others = records(&came).into_iter().filter(|(kind, _)| *kind != HANDSHAKE);
        assert!(others.map(|(_, len)| len).sum::<usize>() < 64, "{came:?}");
    }
}

// RFC 6455 §4.1, RFC 6066 §3: an address is not a server name.
// The proxy is asked for the server's name, and sees nothing but TLS behind that.
#[test]
fn tls_goes_through_the_tunnel_of_a_proxy() {
    for protocol in proxy::BOTH {
        let (address, server) =
            serve(listener(), |incoming| echo(&mut incoming.accept().unwrap()).unwrap());
        let (tapped, tap) = tap(address);
        let (proxy, tunnel) = proxy::proxy(protocol, true, tapped);
        let connector = connector().proxy(&proxy.replace("//", "//user:pass@"));
        within(move || {
            let mut ws = connector.connect("wss://localhost/").unwrap();
            ws.send("a secret").unwrap();
            assert_eq!(ws.read().unwrap(), Some(Message::from("a secret")));
            ws.close(CloseCode::NORMAL, "").unwrap();
        });
        assert_eq!(finish(tunnel), "localhost:443");
        assert_eq!(finish(server).code, CloseCode::NORMAL);
        for bytes in finish(tap) {
            assert_eq!(bytes.first(), Some(&HANDSHAKE));
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
        }
    }
}

#[test]
fn tls_sni_sent() {
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let (address, server) = serve(listener(), |incoming| {
            let ws = incoming.accept().unwrap();
            let Stream::Tls(tls) = ws.stream() else { panic!("not TLS") };
            tls.with_connection(|connection| match connection {
                Connection::Server(server) => server.server_name().map(ToOwned::to_owned),
                Connection::Client(_) => panic!("a client"),
            })
        });
        let url = format!("wss://{host}:{}/", address.port());
        let ws = within(move || connector().connect(&url).unwrap());
        assert_eq!(finish(server).as_deref(), name);
        assert_eq!(ws.peer_addr().unwrap(), address);
    }
}

/// What a client says first, and how it likes the certificate: the protocols and the name that it asks for, and its
/// alert.
fn first_words(stream: &mut TcpStream) -> (Vec<Vec<u8>>, Option<String>, rustls::Error) {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        acceptor.read_tls(stream).unwrap();
        if let Some(accepted) = acceptor.accept().unwrap() {
            break accepted;
        }
    };
    let hello = accepted.client_hello();
    let alpn: Vec<Vec<u8>> = hello.alpn().unwrap().map(<[u8]>::to_vec).collect();
    let name = hello.server_name().map(ToOwned::to_owned);
    let mut tls = accepted.into_connection(Arc::new(server_config("server"))).unwrap();
    let error = tls.complete_io(stream).unwrap_err();
    (alpn, name, error.downcast::<rustls::Error>().unwrap())
}

// RFC 7301: whoever speaks several protocols on a port has to know which one is meant.
#[test]
fn a_client_with_the_platforms_roots_offers_http_1_and_does_not_trust_the_tests_root() {
    let (url, server) = play(|mut raw| first_words(&mut raw.stream));
    let url = url.replace("ws://127.0.0.1", "wss://localhost");
    let error = within(move || connect(&url).unwrap_err());
    does_not_trust(error, server);
}

/// A client with the platform's roots has failed like that at a server that has told what it saw.
fn does_not_trust(
    error: Error,
    server: thread::JoinHandle<(Vec<Vec<u8>>, Option<String>, rustls::Error)>,
) {
    if matches!(error, Error::Tls(TlsError::Platform(_))) {
        // A bare system: nothing was connected to.
        return;
    }
    let Error::Tls(TlsError::Failed(rustls::Error::InvalidCertificate(cause))) = error else {
        panic!("{error:?}")
    };
    // Not every verifier of Windows says what it is.
    let is_other = cfg!(windows) && matches!(cause, CertificateError::Other(_));
    assert!(is_other || cause == CertificateError::UnknownIssuer, "{cause:?}");
    let (alpn, name, alert) = finish(server);
    assert_eq!((alpn, name.as_deref()), (vec![b"http/1.1".to_vec()], Some("localhost")));
    let alerts = [AlertDescription::UnknownCA, AlertDescription::CertificateUnknown];
    let alerts = alerts.map(rustls::Error::AlertReceived);
    assert!(alert == alerts[0] || is_other && alert == alerts[1], "{alert:?}");
}

#[test]
fn over_a_stream_of_its_own_a_client_trusts_whom_it_trusts_otherwise() {
    let (url, server) = play(|mut raw| first_words(&mut raw.stream));
    let stream = TcpStream::connect(url.strip_prefix("ws://").unwrap().trim_end_matches('/'));
    let stream = stream.unwrap();
    let connector = Connector::builder();
    let error = within(move || connector.connect_over("wss://localhost/", stream).unwrap_err());
    does_not_trust(error, server);
}

// The URL asks for TLS, and names the server that the certificate is for.
#[test]
fn tls_is_done_over_a_stream_by_the_url() {
    for (url, is_valid) in [("wss://localhost/", true), ("wss://other.example/", false)] {
        let (near, far) = MemoryStream::pair();
        let server = thread::spawn(move || {
            let request = listener().request_over(far)?;
            assert!(matches!(request.stream(), Stream::Tls(_)) && request.is_upgrade());
            echo(&mut request.accept()?)
        });
        let client = within(move || -> ws_std::Result<_> {
            let mut ws = connector().connect_over(url, near)?;
            assert!(matches!(ws.stream(), Stream::Tls(_)));
            let long = Message::from(vec![7; 1_000_000]);
            ws.send(long.clone())?;
            assert_eq!(ws.read()?, Some(long));
            ws.close(CloseCode::NORMAL, "bye")
        });
        let server = finish(server);
        if is_valid {
            assert!(client.unwrap().clean && server.unwrap().clean);
        } else {
            let Err(Error::Tls(TlsError::Failed(rustls::Error::InvalidCertificate(_)))) = client
            else {
                panic!("{client:?}")
            };
            assert!(matches!(server, Err(Error::Tls(_))), "{server:?}");
        }
    }
}

#[test]
fn a_ws_url_over_a_stream_is_not_encrypted() {
    let (near, far) = MemoryStream::pair();
    let server = thread::spawn(|| Listener::builder().request_over(far)?.accept()?.read());
    let mut ws = within(move || connector().connect_over("ws://localhost/", near).unwrap());
    assert!(matches!(ws.stream(), Stream::Plain(_)));
    ws.send("hello").unwrap();
    assert_eq!(finish(server).unwrap(), Some("hello".into()));
}

#[test]
fn a_stream_that_is_encrypted_already_is_used_as_it_is() {
    let (near, far) = MemoryStream::pair();
    let server = thread::spawn(|| listener().request_over(far)?.accept()?.read());
    let mut ws = within(move || {
        let config = Arc::new(client_config(ALL));
        let tls = TlsStream::client(near, "localhost", config, Some(LONG)).unwrap();
        connector().connect_over_encrypted("wss://localhost/", tls).unwrap()
    });
    ws.send("hello").unwrap();
    assert_eq!(finish(server).unwrap(), Some("hello".into()));
}

#[test]
fn the_end_of_a_connection_does_not_wait_for_the_peer_under_tls() {
    let config = Config::new().close_timeout(Some(Duration::from_secs(60)));
    for tries in [false, true] {
        let (address, server) = serve(listener().config(config), move |incoming| {
            let mut ws = incoming.accept().unwrap();
            let begun = Instant::now();
            if tries {
                while ws.close_info().is_none() {
                    assert_eq!(ws.try_read().unwrap(), None);
                    thread::sleep(Duration::from_millis(1));
                }
                // The Close frame and close_notify are out, whoever reads on.
                assert_eq!(ws.try_read().unwrap(), None);
            } else {
                assert_eq!(ws.read().unwrap(), None);
            }
            let took = begun.elapsed();
            (took, ws.close_info().unwrap(), thread::spawn(move || drop(ws)))
        });
        let mut client = connector().config(config).connect(&url(address)).unwrap();
        client.start_close(4000, "bye").unwrap();
        let (took, how, dropping) = finish(server);
        assert!(how.clean && took < Duration::from_secs(30), "{how:?} {took:?}");
        assert!(!dropping.is_finished());
        assert_eq!(client.read().unwrap(), None);
        assert!(client.close_info().unwrap().clean);
        drop(client);
        finish(dropping);
    }
}

#[test]
fn try_read_does_not_wait_under_tls() {
    let (address, server) = serve(listener(), |incoming| {
        let mut ws = incoming.accept().unwrap();
        assert_eq!(ws.try_read().unwrap(), None);
        ws.send("ready").unwrap();
        loop {
            match ws.try_read().unwrap() {
                Some(message) => break message,
                None => thread::yield_now(),
            }
        }
    });
    let long = Message::from(vec![7; 100_000]);
    let mut ws = within(move || connector().connect(&url(address)).unwrap());
    assert_eq!(ws.read().unwrap(), Some("ready".into()));
    ws.send(long.clone()).unwrap();
    assert_eq!(finish(server), long);
}

// TLS is part of the opening handshake.
#[test]
fn tls_over_a_stream_has_a_deadline() {
    let (near, _far) = MemoryStream::pair();
    let connector = connector().handshake_timeout(Some(Duration::from_millis(20)));
    let error = within(move || connector.connect_over("wss://localhost/", near).unwrap_err());
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error}");
    let (_near, far) = MemoryStream::pair();
    let options = listener().handshake_timeout(Some(Duration::from_millis(20)));
    let error = within(move || options.request_over(far).unwrap_err());
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error}");
}

/// Passes a connection on and gives what went each way.
fn tap(address: std::net::SocketAddr) -> (std::net::SocketAddr, thread::JoinHandle<[Vec<u8>; 2]>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let front = listener.local_addr().unwrap();
    let tap = thread::spawn(move || {
        let client = accept(&listener).stream;
        let server = Raw::connect(address).stream;
        let ways = [(&client, &server), (&server, &client)].map(|(from, to)| {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                let mut all = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    all.extend(&buffer[..count]);
                    to.write_all(&buffer[..count]).unwrap();
                }
                let _ = to.shutdown(std::net::Shutdown::Write);
                all
            })
        });
        ways.map(finish)
    });
    (front, tap)
}

// RFC 6455 §4.1: all that follows goes through TLS.
#[test]
fn tls_no_plaintext_bytes() {
    let (address, server) = serve(listener(), |incoming| echo(&mut incoming.accept().unwrap()));
    let (front, tap) = tap(address);
    within(move || {
        let mut ws = connector().connect(&url(front)).unwrap();
        ws.send("a message in the clear").unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("a message in the clear")));
        ws.close(CloseCode::NORMAL, "a reason in the clear").unwrap();
    });
    assert_eq!(finish(server).unwrap().reason, "a reason in the clear");
    for bytes in finish(tap) {
        let records = records(&bytes);
        assert!(records[0].0 == HANDSHAKE && records.iter().any(|(kind, _)| *kind == DATA));
        for word in ["HTTP/1.1", "GET ", "/chat", "websocket", "clear"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
        }
    }
}

// RFC 6455 §4.2.2: on a TLS port TLS comes first, then everything is as without.
#[test]
fn tls_server_side() {
    let (address, server) = serve(listener(), |incoming| {
        let request = incoming.request().unwrap();
        assert!(matches!(request.stream(), Stream::Tls(_)) && request.is_upgrade());
        assert_eq!(request.path(), "/chat");
        echo(&mut request.accept().unwrap()).unwrap()
    });
    let mut client = RawTls::client(address);
    client.handshake().unwrap();
    assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.write(REQUEST.as_bytes());
    assert_eq!(client.head(), RESPONSE);
    client.write(&masked(TEXT, b"hello"));
    client.expect(TEXT, b"hello");
    client.write(&masked(CLOSE, &close(1000, "")));
    client.expect(CLOSE, &close(1000, ""));
    // The server ends TLS, and then TCP.
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(client.tls.process_new_packets().unwrap().peer_has_closed());
    drop(client);
    assert!(finish(server).clean);
}

#[test]
fn a_page_is_served_over_tls() {
    let (address, server) = serve(listener(), |incoming| {
        let request = incoming.request().unwrap();
        assert!(!request.is_upgrade());
        request.http(&HttpResponse::new(200).body(b"page"))
    });
    let mut client = RawTls::client(address);
    client.handshake().unwrap();
    client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(client.exactly(4).unwrap(), b"page");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.tls.send_close_notify();
    client.flush();
    drop(client);
    finish(server).unwrap();
}

// RFC 6455 §10.6
#[test]
fn tls_stream_roundtrip() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (url, server) = serve_tls(|incoming| echo(&mut incoming.accept().unwrap()).unwrap());
        let how = within(move || {
            let connector = Connector::builder().tls(Arc::new(client_config(&[version])));
            let mut ws = connector.connect(&url).unwrap();
            let Stream::Tls(tls) = ws.stream() else { panic!("not TLS") };
            assert_eq!(
                tls.with_connection(|connection| connection.protocol_version()),
                Some(version.version)
            );
            for message in
                [Message::from("hello"), Message::from(vec![7; 5_000_000]), Message::from("")]
            {
                ws.send(message.clone()).unwrap();
                assert_eq!(ws.read().unwrap(), Some(message));
            }
            let mut out = ws.write_stream(ws_std::MessageKind::Binary);
            (0..100).for_each(|n| out.write_all(&[n; 10_000]).unwrap());
            out.finish().unwrap();
            let mut back = Vec::new();
            ws.read_stream().unwrap().unwrap().read_to_end(&mut back).unwrap();
            assert!(back == (0..100).flat_map(|n| [n; 10_000]).collect::<Vec<_>>());
            ws.close(CloseCode::NORMAL, "bye").unwrap()
        });
        assert_eq!((how.code, how.clean, how.by_us), (CloseCode::NORMAL, true, true));
        let how = finish(server);
        assert_eq!((how.code, &*how.reason, how.clean), (CloseCode::NORMAL, "bye", true));
    }
}

#[test]
fn a_page_from_the_same_host_may_connect_over_tls() {
    for (origin, host, admitted) in [
        ("https://localhost", "localhost", true),
        ("https://localhost", "localhost:443", true),
        ("https://localhost:443", "localhost", true),
        ("https://localhost:9001", "localhost:9001", true),
        ("https://localhost", "localhost:9001", false),
        ("https://another.example", "localhost", false),
        ("null", "localhost", false),
        // Who is on the way can change what comes without TLS (RFC 6454 §4).
        ("http://localhost", "localhost", false),
    ] {
        let (address, server) = serve(listener(), |incoming| incoming.accept().is_ok());
        let mut client = RawTls::client(address);
        client.handshake().unwrap();
        let request =
            REQUEST.replace("Host: example.com", &format!("Host: {host}\r\nOrigin: {origin}"));
        client.write(request.as_bytes());
        let status = if admitted { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " };
        assert!(client.head().starts_with(status), "{origin} {host}");
        drop(client);
        assert_eq!(finish(server), admitted);
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let server = || Listener::builder().tls(Arc::new(server_config_with_client_certificates()));
    let (address, serving) = serve(server(), |incoming| {
        let request = incoming.request().unwrap();
        let Stream::Tls(tls) = request.stream() else { panic!("not TLS") };
        let shown = tls.with_connection(|connection| {
            connection.peer_certificates().unwrap().first().unwrap().to_vec()
        });
        let mut ws = request.accept().unwrap();
        ws.send("known").unwrap();
        while ws.read().unwrap().is_some() {}
        shown
    });
    within(move || {
        let connector = Connector::builder().tls(Arc::new(client_config_with_certificate()));
        let mut ws = connector.connect(&url(address)).unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("known")));
        ws.close(None, "").unwrap();
    });
    let own = client_config_with_certificate();
    assert!(own.client_auth_cert_resolver.has_certs());
    assert!(finish(serving) == certificate("client"));

    // In TLS 1.3 the client learns only afterwards that it has to have one.
    let (address, serving) = serve(server(), |incoming| incoming.request().unwrap_err());
    let error = within(move || connector().connect(&url(address)).unwrap_err());
    assert!(
        matches!(
            error,
            Error::Tls(TlsError::Failed(rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
            )))
        ),
        "{error:?}"
    );
    let error = finish(serving);
    assert_eq!(error.to_string(), "TLS failed: peer sent no certificates");
}

#[test]
fn a_certificate_or_key_that_is_not_valid_is_told_before_listening() {
    let (chain, key) = pem("server");
    let try_with = |chain: &[u8], key: &[u8]| {
        let Error::Tls(error) = Listener::builder().certificate(chain, key).unwrap_err() else {
            panic!("not of TLS")
        };
        error
    };
    assert!(matches!(try_with(b"", &key), TlsError::NoCertificate));
    assert!(matches!(try_with(&key, &key), TlsError::NoCertificate));
    assert!(matches!(try_with(&chain, b""), TlsError::NoKey));
    assert!(matches!(try_with(&chain, &chain), TlsError::NoKey));
    assert!(matches!(try_with(&chain, &pem("other").1), TlsError::KeyMismatch));
    let cut = &chain[..chain.len() / 2];
    assert!(matches!(try_with(cut, &key), TlsError::Pem(_)));
    let not_base64 = b"-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----\n";
    assert!(matches!(try_with(&chain, not_base64), TlsError::Pem(_)));
    let not_a_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(try_with(not_a_certificate, &key), TlsError::Failed(_)));
    // What is around them does not matter, as in the files that authorities hand out.
    let both = [b"a chain\n", &*key, &*chain].concat();
    assert!(Listener::builder().certificate(&both, &both).is_ok());
}

#[test]
fn plain_http_on_a_tls_port_is_answered_by_an_alert() {
    let (address, server) = serve(listener(), |incoming| incoming.request().unwrap_err());
    let mut client = Raw::connect(address);
    client.write(REQUEST.as_bytes());
    let answer = client.read_to_the_end().unwrap();
    assert_eq!(records(&answer), [(ALERT, 2)]);
    let error = finish(server);
    assert!(matches!(error, Error::Tls(TlsError::NotTls)), "{error:?}");
    assert_eq!(error.to_string(), "the peer does not speak TLS");
}

#[test]
fn a_client_without_tls_does_not_understand_a_tls_server() {
    let (address, server) = serve(listener(), |incoming| incoming.request().unwrap_err());
    let error = within(move || connect(&format!("ws://{address}")).unwrap_err());
    assert!(matches!(error, Error::Handshake(_)), "{error:?}");
    assert!(matches!(finish(server), Error::Tls(TlsError::NotTls)));
}

#[test]
fn a_plain_http_server_is_named_and_gets_no_request() {
    let (url, server) = play(|mut raw| {
        let mut hello = vec![0; 5];
        raw.stream.read_exact(&mut hello).unwrap();
        raw.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        hello.extend(raw.read_to_the_end().unwrap());
        hello
    });
    let error = within(move || {
        connector().connect(&url.replace("ws://127.0.0.1", "wss://localhost")).unwrap_err()
    });
    assert!(matches!(error, Error::Tls(TlsError::NotTls)), "{error:?}");
    let came = records(&finish(server));
    assert_eq!(came[0].0, HANDSHAKE);
    assert_eq!(came[1..], [(ALERT, 2)]);
}

#[test]
fn a_server_that_ends_during_the_tls_handshake_is_an_eof() {
    let (url, server) = play(|mut raw| drop(raw.exactly(5)));
    let error = within(move || {
        connector().connect(&url.replace("ws://127.0.0.1", "wss://localhost")).unwrap_err()
    });
    assert!(matches!(error, Error::HandshakeEof), "{error:?}");
    finish(server);
}

#[test]
fn a_host_that_no_certificate_can_name_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let error = TlsStream::client(tcp, "a..b", Arc::new(client_config(ALL)), None).unwrap_err();
    assert!(matches!(error, Error::Url(UrlError::Host)), "{error:?}");
}

/// A connection that is refused by its handshake's deadline, which is soon.
fn is_late(work: impl FnOnce() -> Error + Send + 'static) {
    let begun = Instant::now();
    let error = within(work);
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
    assert!(begun.elapsed() < slow_millis(5000), "{:?}", begun.elapsed());
}

const SOON: Option<Duration> = Some(slow_millis(300));

/// Writes a byte every ten milliseconds until the peer is gone.
fn dribble(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_client_does_not_wait_for_a_server_that_is_silent_or_slow() {
    // A handshake record of the largest size.
    let slow = [&[HANDSHAKE, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc], &[0; 1000][..]].concat();
    for bytes in [Vec::new(), slow] {
        let (url, server) = play(move |mut raw| {
            dribble(&mut raw.stream, &bytes);
            let _ = raw.read_to_the_end();
        });
        let url = url.replace("ws://127.0.0.1", "wss://localhost");
        is_late(move || connector().handshake_timeout(SOON).connect(&url).unwrap_err());
        finish(server);
    }
}

#[test]
fn a_client_does_not_wait_for_a_response_in_a_slow_record() {
    let (url, server) = play_tls(server_config("server"), |mut peer| {
        peer.handshake().unwrap();
        let head = peer.head();
        peer.tls.writer().write_all(answer(&head).as_bytes()).unwrap();
        let bytes = peer.encrypted();
        dribble(&mut peer.tcp, &bytes);
    });
    is_late(move || connector().handshake_timeout(SOON).connect(&url).unwrap_err());
    finish(server);
}

#[test]
fn a_server_does_not_wait_for_a_client_that_is_silent_or_slow_and_serves_others() {
    let listener = listener().handshake_timeout(SOON).bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = TcpStream::connect(address).unwrap();
    let mut slow = TcpStream::connect(address).unwrap();
    let slow = thread::spawn(move || {
        let mut hello = hello();
        // The record is longer than what ever comes.
        hello[3] = 0x3f;
        hello.resize(1000, 0);
        dribble(&mut slow, &hello);
    });
    let late: Vec<_> = (0..2)
        .map(|_| {
            let incoming = listener.accept().unwrap();
            thread::spawn(|| is_late(|| incoming.request().unwrap_err()))
        })
        .collect();
    let third = thread::spawn(move || {
        echo(&mut listener.accept().unwrap().accept().unwrap()).unwrap();
    });
    within(move || {
        let mut ws = connector().connect(&url(address)).unwrap();
        ws.send("meanwhile").unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("meanwhile")));
        ws.close(None, "").unwrap();
    });
    finish(third);
    late.into_iter().for_each(finish);
    finish(slow);
    drop(silent);
}

// TLS has last words of its own, for which nothing is left of the time.
#[test]
fn a_close_that_nobody_takes_is_bounded_once() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(1000)));
    let (address, server) = serve(listener().config(config), |incoming| {
        let mut ws = incoming.accept().unwrap();
        ws.set_write_timeout(Some(Duration::from_millis(100)));
        while ws.send(vec![0; 1 << 16]).is_ok() {}
        ws.set_write_timeout(Some(LONG));
        let begun = Instant::now();
        // TLS may have taken it, which does not bring it to the peer.
        match ws.close(CloseCode::NORMAL, "") {
            Ok(info) => assert!(!info.clean && info.by_us, "{info:?}"),
            Err(error) => assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}"),
        }
        begun.elapsed()
    });
    let client = connector().connect(&url(address)).unwrap();
    let took = finish(server);
    assert!(took < Duration::from_millis(1700), "{took:?}");
    drop(client);
}
