//! What errors say: each something of its own, in lower case, without a full stop.
#![cfg(feature = "endpoint")]

use std::collections::BTreeSet;
use std::error::Error;

use ws_core::endpoint::EndpointError;
use ws_core::handshake::{HandshakeError, OpenError};
use ws_core::{ProtocolError, SendError};

/// What a text may begin with in upper case: names of header fields, of protocols and of characters.
const NAMES: [&str; 10] = [
    "CR ",
    "Connection ",
    "Content-Length ",
    "HTTP",
    "Host ",
    "LF ",
    "NUL ",
    "Origin ",
    "Sec-WebSocket-",
    "Upgrade ",
];

/// Each text keeps the rules, and no two are the same.
#[track_caller]
fn are_told_apart<E: Error>(errors: &[E]) {
    let texts: BTreeSet<String> = errors.iter().map(E::to_string).collect();
    assert_eq!(texts.len(), errors.len(), "{texts:#?}");
    for text in &texts {
        let is_lower =
            text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
        assert!(is_lower || NAMES.iter().any(|name| text.starts_with(name)), "{text}");
        assert!(!text.ends_with('.') && text.trim() == text && !text.contains('\n'), "{text}");
        // A section of an RFC stands at the end, and is complete.
        let section = text.split_once(" (RFC ").map(|(_, section)| section);
        assert!(
            section.is_none_or(|section| section.contains(" §") && section.ends_with(')')),
            "{text}"
        );
    }
}

#[test]
fn errors_of_the_protocol_are_told_apart() {
    are_told_apart(&[
        ProtocolError::ReservedBits,
        ProtocolError::ReservedOpcode(3),
        ProtocolError::ReservedOpcode(0xf),
        ProtocolError::FragmentedControl,
        ProtocolError::ControlTooLong,
        ProtocolError::UnmaskedFrame,
        ProtocolError::MaskedFrame,
        ProtocolError::NonMinimalLength,
        ProtocolError::LengthOverflow,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::InterleavedMessage,
        ProtocolError::CloseBodyTooShort,
        ProtocolError::InvalidCloseCode(1005),
        ProtocolError::InvalidCloseCode(5000),
        ProtocolError::InvalidCloseReason,
        ProtocolError::InvalidUtf8,
        ProtocolError::InvalidDeflate,
        ProtocolError::FrameTooLarge,
        ProtocolError::MessageTooLarge,
        ProtocolError::PongTimeout,
    ]);
    let error = ProtocolError::InvalidCloseCode(1005);
    assert_eq!(error.to_string(), "close code 1005 must not be sent (RFC 6455 §7.4)");
    let error = ProtocolError::ReservedOpcode(0xb);
    assert_eq!(error.to_string(), "reserved opcode 0xb (RFC 6455 §5.2)");
}

#[test]
fn errors_of_sending_are_told_apart() {
    are_told_apart(&[
        SendError::NotOpen,
        SendError::Closing,
        SendError::OutputFull,
        SendError::MessageOpen,
        SendError::PayloadPending,
        SendError::PayloadTooLong,
        SendError::ControlTooLong,
        SendError::ReasonTooLong,
        SendError::InvalidCloseCode(1006),
        SendError::ReasonWithoutCode,
        SendError::FrameTooLong,
        SendError::BufferTooSmall { needed: 9 },
        SendError::NoHeadroom { needed: 14 },
        SendError::MaskingKeyMissing,
        SendError::MaskingKeyUnexpected,
        SendError::PayloadUnmasked,
        SendError::CompressionNotNegotiated,
        SendError::Random,
    ]);
    assert_eq!(
        SendError::InvalidCloseCode(1006).to_string(),
        "close code 1006 may not be sent; 1000-1003, 1007-1014 (1010 by clients only) and 3000-4999 may (RFC 6455 §7.4)"
    );
    let error = SendError::BufferTooSmall { needed: 9 };
    assert_eq!(error.to_string(), "the output has no room: 9 bytes are needed");
    let error = SendError::NoHeadroom { needed: 14 };
    assert_eq!(error.to_string(), "no room for the header: 14 bytes are needed before the payload");
}

/// Those of both sides.
const HANDSHAKE: [HandshakeError; 53] = [
    HandshakeError::NotHttp,
    HandshakeError::TlsRequest,
    HandshakeError::TlsResponse,
    HandshakeError::BareCr,
    HandshakeError::BareLf,
    HandshakeError::Nul,
    HandshakeError::IncompleteHead,
    HandshakeError::InvalidFieldName,
    HandshakeError::InvalidFieldValue,
    HandshakeError::TooManyFields,
    HandshakeError::InvalidContentLength,
    HandshakeError::RepeatedContentLength,
    HandshakeError::ContentLengthAndTransferEncoding,
    HandshakeError::InvalidExtensions,
    HandshakeError::RequestLineTooLong,
    HandshakeError::HeadTooLarge,
    HandshakeError::MalformedRequestLine,
    HandshakeError::UnsupportedHttpVersion,
    HandshakeError::MissingHost,
    HandshakeError::RepeatedHost,
    HandshakeError::InvalidHost,
    HandshakeError::HostNotAllowed,
    HandshakeError::RepeatedOrigin,
    HandshakeError::InvalidOrigin,
    HandshakeError::OriginNotAllowed,
    HandshakeError::MissingUpgrade,
    HandshakeError::MethodNotAllowed,
    HandshakeError::MissingConnectionUpgrade,
    HandshakeError::MissingVersion,
    HandshakeError::RepeatedVersion,
    HandshakeError::MalformedVersion,
    HandshakeError::UnsupportedVersion,
    HandshakeError::MissingKey,
    HandshakeError::RepeatedKey,
    HandshakeError::InvalidKey,
    HandshakeError::RequestBody,
    HandshakeError::InvalidTarget,
    HandshakeError::InvalidEncoding,
    HandshakeError::InvalidSubprotocol,
    HandshakeError::RepeatedSubprotocol,
    HandshakeError::TooManySubprotocols,
    HandshakeError::ResponseHeadTooLarge,
    HandshakeError::MalformedStatusLine,
    HandshakeError::UnsupportedResponseVersion,
    HandshakeError::NotSwitchingProtocols,
    HandshakeError::ResponseUpgrade,
    HandshakeError::ResponseConnection,
    HandshakeError::MissingAccept,
    HandshakeError::RepeatedAccept,
    HandshakeError::WrongAccept,
    HandshakeError::UnofferedSubprotocol,
    HandshakeError::RepeatedResponseSubprotocol,
    HandshakeError::UnofferedExtension,
];

#[test]
fn errors_of_the_handshake_are_told_apart() {
    #[cfg(not(feature = "deflate"))]
    are_told_apart(&HANDSHAKE);
    #[cfg(feature = "deflate")]
    are_told_apart(
        &[
            &HANDSHAKE[..],
            &[
                HandshakeError::RepeatedDeflate,
                HandshakeError::InvalidDeflateParameter,
                HandshakeError::UnofferedDeflateParameter,
            ],
        ]
        .concat(),
    );
}

#[test]
fn errors_of_opening_are_told_apart() {
    are_told_apart(&[
        OpenError::BufferTooSmall { needed: 129 },
        OpenError::InvalidHeaderName,
        OpenError::InvalidHeaderValue,
        OpenError::ReservedHeader("Upgrade"),
        OpenError::InvalidTarget,
        OpenError::InvalidHost,
        #[cfg(feature = "proxy")]
        OpenError::InvalidCredentials,
        OpenError::InvalidSubprotocol,
        OpenError::UnofferedSubprotocol,
        OpenError::InvalidExtension,
        OpenError::UnofferedExtension,
        OpenError::InvalidKey,
        OpenError::InvalidStatus,
        OpenError::BodyNotAllowed,
        OpenError::NoRequest,
        OpenError::Random,
    ]);
    let error = OpenError::BufferTooSmall { needed: 129 };
    assert_eq!(error.to_string(), "output too small for the head of 129 bytes");
    let error = OpenError::ReservedHeader("Upgrade");
    assert_eq!(error.to_string(), "header Upgrade is written by the library itself (RFC 6455 §4)");
}

#[cfg(feature = "proxy")]
#[test]
fn a_proxy_says_what_the_layer_below_says() {
    let error = ws_core::proxy::ProxyError::Open(OpenError::InvalidHost);
    assert_eq!(error.to_string(), OpenError::InvalidHost.to_string());
}

#[test]
fn an_endpoint_says_what_the_layer_below_says() {
    let errors = [
        EndpointError::Protocol(ProtocolError::InvalidUtf8),
        EndpointError::Handshake(HandshakeError::MissingKey),
        EndpointError::HandshakeTimeout,
        EndpointError::HandshakeEof,
        EndpointError::Random,
    ];
    are_told_apart(&errors);
    assert_eq!(errors[0].to_string(), ProtocolError::InvalidUtf8.to_string());
    assert_eq!(errors[1].to_string(), HandshakeError::MissingKey.to_string());
    // The text contains the whole chain.
    assert!(errors.iter().all(|error| error.source().is_none()));
}
