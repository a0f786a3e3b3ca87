//! The handshake with a proxy, driven by the input.

use ws_core::handshake::OpenError;
use ws_core::proxy::{ProxyHandshake, ProxyStep};

use crate::script::Script;
use crate::system::write;

/// Asks for a tunnel with values of the input, takes the rest as the answer in two pieces, and writes what goes to the
/// proxy and what has come through the tunnel.
pub(crate) fn open<'s>(
    new: impl FnOnce(&'s str, u16, Option<(&'s str, &'s str)>) -> Result<ProxyHandshake<'s>, OpenError>,
    script: &mut Script<'s>,
) {
    let credentials = script.flag().then(|| (script.text(), script.text()));
    let Ok(mut proxy) = new(script.text(), 443, credentials) else { return };
    let mut output = [0; 1024];
    let answer = script.0;
    let mut received = answer.get(..answer.len() / 2).unwrap_or_default();
    loop {
        match proxy.next(received, &mut output) {
            Ok(ProxyStep::Write(length)) => write(output.get(..length).unwrap_or_default()),
            Ok(ProxyStep::Read(_)) if received.len() < answer.len() => received = answer,
            Ok(ProxyStep::Read(_)) => proxy.receive_eof(),
            Ok(ProxyStep::Open(length)) => {
                return write(received.get(length..).unwrap_or_default());
            }
            Err(_) => return,
        }
    }
}
