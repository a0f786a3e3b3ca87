//! What errors say, and what they become.

mod common;

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::{error, fmt};

use common::*;
use ws_std::{
    Connector, Deadline, Error, HandshakeError, MessageKind, OpenError, ProtocolError, SendError,
    UrlError, connect,
};

/// An error with a cause.
#[derive(Debug)]
struct Outer(io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl error::Error for Outer {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.0)
    }
}

/// What prints an error and all its sources.
fn chain(error: &dyn error::Error) -> Vec<String> {
    let mut printed = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        printed.push(error.to_string());
        next = error.source();
    }
    printed
}

#[test]
fn a_wrapped_error_is_printed_once() {
    let io = io::Error::from(ErrorKind::ConnectionReset);
    let text = io.to_string();
    assert_eq!(chain(&Error::Io(io)), [text]);
    assert_eq!(chain(&Error::Url(UrlError::Host)), [UrlError::Host.to_string()]);
    let open = OpenError::InvalidHost;
    assert_eq!(chain(&Error::Open(open)), [open.to_string()]);
    let handshake = format!("not a valid WebSocket handshake: {}", HandshakeError::WrongAccept);
    assert_eq!(chain(&Error::from(HandshakeError::WrongAccept)), [handshake]);
    let protocol = ProtocolError::MaskedFrame;
    assert_eq!(chain(&Error::Protocol(protocol)), [protocol.to_string()]);
    assert_eq!(chain(&Error::Send(SendError::Closing)), [SendError::Closing.to_string()]);
    assert_eq!(chain(&Error::Busy), ["too many threads wait to send"]);
}

#[test]
fn the_cause_of_a_wrapped_error_is_the_source() {
    let error = Error::Io(io::Error::other(Outer(io::Error::other("inner"))));
    assert_eq!(chain(&error), ["outer", "inner"]);
}

#[cfg(feature = "rustls")]
#[test]
fn a_wrapped_error_of_tls_is_printed_once() {
    use std::error::Error as _;

    use ws_std::{TlsError, rustls};

    let failed = TlsError::Failed(rustls::Error::DecryptError);
    let text = format!("TLS failed: {}", rustls::Error::DecryptError);
    assert_eq!(chain(&failed), [&*text]);
    assert_eq!(chain(&Error::Tls(failed)), [text]);
    let platform = TlsError::Platform(rustls::Error::DecryptError);
    assert!(platform.source().is_none());
    let pem = TlsError::Pem(rustls::pki_types::pem::Error::NoItemsFound);
    assert_eq!(chain(&pem).len(), 1);
    assert_eq!(chain(&TlsError::NotTls).len(), 1);
}

/// The error of a client whose server answers with this status.
fn refused(status: u16) -> Error {
    let (url, server) = play(move |mut raw| {
        raw.head();
        raw.write(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes());
        let _ = raw.read_to_the_end();
    });
    let error = within(move || connect(&url)).unwrap_err();
    finish(server);
    assert!(matches!(&error, Error::Refused(response) if response.status() == status), "{error:?}");
    error
}

// RFC 6455 §7.2.3
#[test]
fn a_client_connects_again_after_what_may_pass() {
    for (status, transient) in [
        (404, false),
        (408, true),
        (429, true),
        (499, false),
        (500, true),
        (503, true),
        (599, true),
        (600, false),
        (700, false),
    ] {
        assert_eq!(refused(status).is_transient(), transient, "{status}");
    }
    for kind in [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::Other] {
        assert!(Error::Io(kind.into()).is_transient(), "{kind:?}");
    }
    for kind in [ErrorKind::InvalidData, ErrorKind::Unsupported, ErrorKind::WouldBlock] {
        assert!(!Error::Io(kind.into()).is_transient(), "{kind:?}");
    }
    assert!(Error::Timeout(Deadline::Handshake).is_transient());
    assert!(Error::HandshakeEof.is_transient());
    // The connection is there still.
    assert!(!Error::Busy.is_transient());
    assert!(!Error::Send(SendError::OutputFull).is_transient());
    assert!(!Error::from(HandshakeError::WrongAccept).is_transient());
}

#[test]
fn text_that_ends_inside_a_character_is_not_transient() {
    let (address, server) =
        serve(ws_std::Listener::builder(), |incoming| incoming.accept().unwrap().read().map(drop));
    let error = within(move || {
        let mut ws = Connector::builder().connect(&format!("ws://{address}/")).unwrap();
        let mut message = ws.write_stream(MessageKind::Text);
        message.write_all(b"\xc3").unwrap();
        message.finish().unwrap_err()
    });
    let Error::Io(io) = &error else { panic!("{error:?}") };
    assert_eq!(io.kind(), ErrorKind::InvalidData);
    assert!(!error.is_transient());
    finish(server).unwrap();
}

#[test]
fn an_error_becomes_one_of_a_stream() {
    fn both() -> io::Result<()> {
        connect("http://h/").map(drop)?;
        Ok(())
    }
    let error = both().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let wrapped = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert!(matches!(wrapped, Some(Error::Url(UrlError::Scheme))), "{wrapped:?}");
    for (error, kind) in [
        (Error::Io(ErrorKind::ConnectionReset.into()), ErrorKind::ConnectionReset),
        (Error::Timeout(Deadline::Read), ErrorKind::TimedOut),
        (Error::HandshakeEof, ErrorKind::UnexpectedEof),
        (Error::Protocol(ProtocolError::InvalidUtf8), ErrorKind::InvalidData),
        (Error::from(HandshakeError::WrongAccept), ErrorKind::InvalidData),
        (Error::Open(OpenError::NoRequest), ErrorKind::InvalidInput),
        (Error::Send(SendError::Closing), ErrorKind::NotConnected),
        (Error::Send(SendError::ReasonTooLong), ErrorKind::InvalidInput),
        (Error::Send(SendError::OutputFull), ErrorKind::WouldBlock),
        (Error::Busy, ErrorKind::WouldBlock),
        (Error::Shutdown, ErrorKind::Other),
    ] {
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
    let refused = thread::spawn(|| io::Error::from(refused(403)));
    assert_eq!(finish(refused).kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_error_comes_back_from_a_stream_as_it_was() {
    let back = |error: Error| Error::from(io::Error::from(error));
    assert!(matches!(back(Error::Timeout(Deadline::Read)), Error::Timeout(Deadline::Read)));
    let closing = back(SendError::Closing.into());
    assert!(matches!(closing, Error::Send(SendError::Closing)) && !closing.is_transient());
    assert!(matches!(back(Error::Shutdown), Error::Shutdown));
    let reset = back(io::Error::from(ErrorKind::ConnectionReset).into());
    assert!(matches!(&reset, Error::Io(error) if error.kind() == ErrorKind::ConnectionReset));
}
