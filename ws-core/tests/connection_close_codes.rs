//! The codes and reasons of Close frames: RFC 6455 §5.5.1 and §7.4.

mod common;

use common::*;
use ws_core::frame::MAX_REASON_LEN;
use ws_core::{CloseCode, Config, Connection, ProtocolError, Role, SendError};

const CONFIG: Config = Config::new();

fn close(
    connection: &mut Connection,
    role: Role,
    code: impl Into<CloseCode>,
    reason: &str,
) -> Result<Vec<u8>, SendError> {
    let mut out = [0; 131];
    let len = connection.sender.start_close(code, reason, key(role), &mut out)?;
    Ok(out[..len].to_vec())
}

// Any number is a code, and comes back as it was.
#[test]
fn a_code_is_its_number() {
    for number in 0..=u16::MAX {
        let code = CloseCode::new(number);
        assert_eq!((code.get(), code.to_string()), (number, number.to_string()));
        assert_eq!(format!("{code:?}"), format!("CloseCode({number})"));
    }
}

// RFC 6455 §7.4.1, §7.4.2, IANA: every code; 1005, 1006 and 1015 are never on the wire
#[test]
fn close_code_table_receive() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let bytes = to(role, FIN | CLOSE, &close_body(code, "why"));
            let result = in_pieces(role, CONFIG, &bytes, &[]);
            let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let expected = if valid {
                let echo = by(role, FIN | CLOSE, &close_body(code, ""));
                Outcome::open(vec![closed(code, "why").last()]).sent(echo).closed()
            } else {
                Outcome::failed(role, vec![], ProtocolError::InvalidCloseCode(code))
            };
            assert_eq!(result, expected, "{role:?} {code}");
        }
    }
}

// RFC 6455 §7.4.1, §7.4.2: what a peer must not see is refused; 1010 is the client's
#[test]
fn close_code_table_send() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let mut connection = Connection::new(role, CONFIG);
            let result = close(&mut connection, role, CloseCode::new(code), "");
            let valid = matches!(code, 1000..=1003 | 1007..=1009 | 1011..=1014 | 3000..=4999)
                || code == 1010 && role == Role::Client;
            if valid {
                assert_eq!(result, Ok(by(role, FIN | CLOSE, &code.to_be_bytes())));
                assert_eq!(state(&mut connection, role), State::Closing);
            } else if code == 1005 {
                // RFC 6455 §7.1.5: it stands for a Close frame without a code.
                assert_eq!(result, Ok(by(role, FIN | CLOSE, b"")));
                assert_eq!(state(&mut connection, role), State::Closing);
            } else {
                assert_eq!(result, Err(SendError::InvalidCloseCode(code)), "{role:?}");
                assert_eq!(state(&mut connection, role), State::Open);
            }
        }
    }
}

// RFC 6455 §7.4.1: the reason of 1010 says which extensions are missed
#[test]
fn client_1010_reason_lists_extensions() {
    let mut client = Connection::client(CONFIG);
    let code = CloseCode::MANDATORY_EXTENSION;
    let frame = close(&mut client, Role::Client, code, "permessage-deflate").unwrap();
    assert_eq!(frame, by(Role::Client, FIN | CLOSE, &close_body(1010, "permessage-deflate")));
}

// RFC 6455 §7.1.2, §5.5.1: code and reason, or an empty body
#[test]
fn close_frame_bytes() {
    for role in ROLES {
        let longest = "\u{e9}".repeat(61) + "a";
        for reason in ["", "bye", &longest] {
            let mut connection = Connection::new(role, CONFIG);
            let frame = close(&mut connection, role, CloseCode::GOING_AWAY, reason).unwrap();
            assert_eq!(frame, by(role, FIN | CLOSE, &close_body(1001, reason)));
        }
        let mut connection = Connection::new(role, CONFIG);
        assert_eq!(close(&mut connection, role, None, "").unwrap(), by(role, FIN | CLOSE, b""));
    }
}

// RFC 6455 §5.5.1: refused, not cut; and the connection is as it was
#[test]
fn close_reason_over_123_refused() {
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        let long = "a".repeat(MAX_REASON_LEN + 1);
        let refused = close(&mut connection, role, CloseCode::NORMAL, &long);
        assert_eq!(refused, Err(SendError::ReasonTooLong));
        assert_eq!(close(&mut connection, role, None, "why"), Err(SendError::ReasonWithoutCode));
        let needed = by(role, FIN | CLOSE, b"\x03\xe8").len();
        for room in 0..needed {
            let mut out = vec![0; room];
            let refused = connection.sender.start_close(CloseCode::NORMAL, "", key(role), &mut out);
            assert_eq!(refused, Err(SendError::BufferTooSmall { needed }));
        }
        assert_eq!(state(&mut connection, role), State::Open);
        assert_eq!(
            close(&mut connection, role, CloseCode::NORMAL, &long[1..]).unwrap().len(),
            needed + 123
        );
    }
}

// RFC 6455 §5.5.1
#[test]
fn close_one_byte_body_fails() {
    for role in ROLES {
        let bytes = to(role, FIN | CLOSE, b"\x03");
        let expected = Outcome::failed(role, vec![], ProtocolError::CloseBodyTooShort);
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §5.5.1, §8.1
#[test]
fn close_reason_invalid_utf8_fails() {
    for role in ROLES {
        for reason in [&b"\xff"[..], b"cut \xe2\x82", b"\xed\xa0\x80"] {
            let bytes = to(role, FIN | CLOSE, &[b"\x03\xe8", reason].concat());
            let expected = Outcome::failed(role, vec![], ProtocolError::InvalidCloseReason);
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
}

// RFC 6455 §7.4.1
#[test]
fn error_to_close_code_mapping() {
    use ProtocolError::*;
    let cases = [
        (ReservedBits, 1002),
        (ReservedOpcode(3), 1002),
        (FragmentedControl, 1002),
        (ControlTooLong, 1002),
        (UnmaskedFrame, 1002),
        (MaskedFrame, 1002),
        (NonMinimalLength, 1002),
        (LengthOverflow, 1002),
        (UnexpectedContinuation, 1002),
        (InterleavedMessage, 1002),
        (CloseBodyTooShort, 1002),
        (InvalidCloseCode(1005), 1002),
        (InvalidCloseReason, 1007),
        (InvalidUtf8, 1007),
        (FrameTooLarge, 1009),
        (MessageTooLarge, 1009),
        (PongTimeout, 1011),
    ];
    for (error, code) in cases {
        assert_eq!(error.close_code().get(), code, "{error}");
        for role in ROLES {
            let mut connection = Connection::new(role, CONFIG);
            let Connection { receiver, sender, .. } = &mut connection;
            receiver.fail(sender, error);
            assert_eq!(drain(&mut connection, role), close_by(role, error.close_code()));
        }
    }
}
