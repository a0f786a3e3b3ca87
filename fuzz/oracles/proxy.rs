//! The handshake with a proxy. The input is a setup and what the proxy sends, followed by the bytes of the tunnel.
//!
//! Bit 0 of the flags makes it a SOCKS5 proxy, bit 1 adds credentials, and bits 2 and 3 choose the server.

use ws_core::handshake::OpenError;
use ws_core::proxy::{ProxyError, ProxyHandshake, ProxyStep};

use super::{Setup, same_for_all_cuts};

const HOSTS: [&str; 4] = ["server.example", "127.0.0.1", "::1", "[2001:db8::1]"];
/// The documented limits of what is received before the last read, in bytes.
const MAX_HTTP: usize = 32 * 1024;
const MAX_SOCKS5: usize = 266;

/// Everything that was written, and how many bytes the proxy sent, or why there is no tunnel.
type Outcome = (Vec<u8>, Result<usize, ProxyError>);

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    let stream = setup.stream;
    let outcome = same_for_all_cuts(&setup, |pieces| {
        let mut pieces = pieces.iter();
        play(&setup, |_| pieces.next().map_or(&[], |piece| *piece)).0
    });

    // A driver that reads only as much as it is asked to leaves the bytes of the tunnel in the stream.
    let mut rest = stream;
    let (exact, received) = play(&setup, |missing| {
        let (piece, tail) = rest.split_at(missing.min(rest.len()));
        rest = tail;
        piece
    });
    assert_eq!(exact, outcome, "read as asked for");

    let (_, Ok(length)) = outcome else { return };
    assert_eq!(length, received, "bytes of the tunnel were asked for");
    // The bytes of the tunnel change nothing, and no byte of the answer is superfluous.
    let of = |answer: &[u8]| {
        let mut answer = Some(answer);
        play(&setup, |_| answer.take().unwrap_or_default()).0
    };
    assert_eq!(of(&stream[..length]), outcome, "without what follows");
    assert!(of(&stream[..length - 1]).1.is_err(), "opened too early");
}

/// Runs the handshake with a proxy. `read` returns the proxy's bytes, and none at the end. Returns the outcome, and how
/// many bytes were read.
fn play<'b>(setup: &Setup<'_>, mut read: impl FnMut(usize) -> &'b [u8]) -> (Outcome, usize) {
    let credentials = setup.flag(1).then_some(("user", "pass"));
    let host = HOSTS[usize::from(setup.flags >> 2 & 3)];
    let (mut proxy, max) = if setup.flag(0) {
        (ProxyHandshake::socks5(host, 443, credentials).unwrap(), MAX_SOCKS5)
    } else {
        (ProxyHandshake::http(host, 443, credentials).unwrap(), MAX_HTTP)
    };
    let (mut written, mut received) = (Vec::new(), Vec::new());
    let mut ended = false;
    let mut out = [0; 256];
    loop {
        // An output that is too short changes nothing.
        let early = proxy.clone().next(&received, &mut []);
        let result = proxy.next(&received, &mut out);
        match result {
            Ok(ProxyStep::Write(length)) => {
                let needed = ProxyError::Open(OpenError::BufferTooSmall { needed: length });
                assert_eq!(early, Err(needed));
                written.extend_from_slice(&out[..length]);
                continue;
            }
            Ok(ProxyStep::Read(missing)) => {
                assert!(missing > 0 && !ended && received.len() < max, "{missing}");
                let piece = read(missing);
                received.extend_from_slice(piece);
                if piece.is_empty() {
                    proxy.receive_eof();
                    ended = true;
                }
                continue;
            }
            Ok(ProxyStep::Open(length)) => {
                assert!(length <= received.len());
                assert_eq!(proxy.next(&received, &mut []), result);
                return ((written, Ok(length)), received.len());
            }
            Err(error) => {
                assert_eq!(proxy.next(b"HTTP/1.1 200 OK\r\n\r\n", &mut []), result);
                assert!(!error.to_string().is_empty());
                return ((written, Err(error)), received.len());
            }
        }
    }
}
