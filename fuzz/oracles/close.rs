//! Close frames. The input is flags and the payload of a Close frame, which is received, and sent as a code and a reason.
//!
//! Bit 0 of the flags makes it a client.

use core::str::from_utf8;

use ws_core::endpoint::{Endpoint, EndpointError, Event, Next};
use ws_core::frame::{CloseCode, CloseFrame};
use ws_core::{Config, ProtocolError, Role, SendError};

use super::endpoint::{random, write};
use super::model::{close_for, sent_by};
use super::{KEY, START};

pub(crate) fn check(data: &[u8]) {
    let Some((&flags, payload)) = data.split_first() else { return };
    let role = if flags & 1 != 0 { Role::Client } else { Role::Server };
    let payload = &payload[..payload.len().min(125)];
    receive(role, payload, payload.len() + 2);
    let Some((code, reason)) = payload.split_first_chunk::<2>() else { return };
    let Ok(reason) = from_utf8(reason) else { return };
    let code = u16::from_be_bytes(*code);
    send(role, code, reason);
    // As long as a reason can be, and longer.
    for len in [123, 124, 125] {
        let end = (0..=reason.len().min(len)).rfind(|end| reason.is_char_boundary(*end));
        let end = end.expect("the start is a boundary");
        send(role, code, &format!("{:#<len$}", &reason[..end]));
    }
}

/// The codes that RFC 6455 §7.4 and IANA's registry let a peer send.
fn is_valid(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 1002 | 1003 | 1007..=1014) || (3000..5000).contains(&code)
}

fn expect(payload: &[u8]) -> Result<(u16, &str), ProtocolError> {
    match payload {
        [] => Ok((1005, "")),
        [_] => Err(ProtocolError::CloseBodyTooShort),
        [high, low, reason @ ..] => match u16::from(*high) << 8 | u16::from(*low) {
            code if !is_valid(code) => Err(ProtocolError::InvalidCloseCode(code)),
            code => match from_utf8(reason) {
                Ok(reason) => Ok((code, reason)),
                Err(_) => Err(ProtocolError::InvalidCloseReason),
            },
        },
    }
}

fn endpoint(role: Role) -> Endpoint {
    match role {
        Role::Server => Endpoint::server_after_handshake(Config::new(), &[]),
        Role::Client => Endpoint::client_after_handshake(Config::new(), random(&KEY), &[]),
    }
}

fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

/// A Close frame is reported and answered with its code, or is an error that the answer names. The frame is cut in two at each
/// of its first places.
fn receive(role: Role, payload: &[u8], cuts: usize) {
    let expected = expect(payload);
    let decoded = CloseFrame::decode(payload).map(|frame| (frame.code.get(), frame.reason));
    assert_eq!(decoded, expected);
    let frame = sent_by(other(role), 0x88, payload);
    let answer = match expected {
        Ok((1005, _)) => sent_by(role, 0x88, &[]),
        Ok((code, _)) => sent_by(role, 0x88, &code.to_be_bytes()),
        Err(error) => close_for(role, error),
    };
    for cut in 0..cuts.min(frame.len()) {
        let (first, second) = frame.split_at(cut);
        let mut endpoint = endpoint(role);
        let early = deliver(&mut endpoint, first);
        assert_eq!(early, (None, Vec::new()), "after {cut} bytes");
        let (seen, output) = deliver(&mut endpoint, second);
        let seen = seen.expect("the frame is complete");
        assert_eq!(seen, expected.map(|(code, reason)| (code, reason.to_string())));
        assert_eq!(output, answer);
        // Nothing more is said or heard.
        let after = sent_by(other(role), 0x89, b"?");
        assert_eq!(deliver(&mut endpoint, &after), (None, Vec::new()), "after the end");
        assert_eq!(endpoint.outbound.ping(b"!"), Err(SendError::Closing));
        assert_eq!(endpoint.outbound.start_close(1000, ""), Err(SendError::Closing));
    }
}

type Told = Option<Result<(u16, String), ProtocolError>>;

/// Delivers some bytes. Returns how the connection ended, and what was sent.
fn deliver(endpoint: &mut Endpoint, bytes: &[u8]) -> (Told, Vec<u8>) {
    let (mut told, mut output) = (None, Vec::new());
    assert_eq!(endpoint.inbound.receive(bytes), bytes.len());
    for _ in 0..4 {
        match endpoint.next(|| START) {
            Next::Event(Event::Closed) => {
                assert_eq!(told, None, "ended twice");
                let info = endpoint.close_info().expect("how it was closed");
                told = Some(Ok((info.code.get(), info.reason)));
            }
            Next::Failed(error) => {
                assert_eq!(told, None, "ended twice");
                let EndpointError::Protocol(error) = error else { panic!("{error}") };
                told = Some(Err(error));
            }
            Next::Write { output: pending, .. } => write(pending, &mut output),
            Next::Wait { .. } | Next::Shutdown { .. } => return (told, output),
            next => panic!("{next:?}"),
        }
    }
    panic!("it does not come to rest");
}

/// A code and a reason are sent as they are, and the peer receives them, or they are refused and nothing has changed.
fn send(role: Role, code: u16, reason: &str) {
    let mut endpoint = endpoint(role);
    let result = endpoint.outbound.start_close(code, reason);
    let is_code = code == 1005 || is_valid(code) && !(code == 1010 && role == Role::Server);
    assert_eq!(is_code && code != 1005, CloseCode::new(code).may_be_sent(role));
    let faults = [
        (!is_code, SendError::InvalidCloseCode(code)),
        (reason.len() > 123, SendError::ReasonTooLong),
        (code == 1005 && !reason.is_empty(), SendError::ReasonWithoutCode),
    ];
    match result {
        Err(error) => {
            assert!(faults.contains(&(true, error)), "{error:?} for {code} {reason:?}");
            assert_eq!(deliver(&mut endpoint, &[]), (None, Vec::new()), "sent although refused");
            assert!(endpoint.outbound.is_open() && endpoint.outbound.ping(b"?").is_ok());
        }
        Ok(()) => {
            assert!(faults.iter().all(|(has, _)| !has), "{code} {reason:?} was accepted");
            let (told, frame) = deliver(&mut endpoint, &[]);
            assert_eq!(told, None);
            let body = match code {
                1005 => Vec::new(),
                _ => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
            };
            assert_eq!(frame, sent_by(role, 0x88, &body));
            assert_eq!(endpoint.outbound.start_close(1000, ""), Err(SendError::Closing));
            receive(other(role), &body, 1);
        }
    }
}
