//! The server to which a tunnel leads.

use crate::handshake::{parse_ipv4, parse_ipv6, split_reg_name};

/// The longest name in bytes. SOCKS5 encodes the length in one byte (RFC 1928 §5).
const MAX_NAME: usize = 255;

/// A host and a port that are valid in requests of both protocols.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) host: Host<'a>,
    pub(super) port: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Host<'a> {
    /// At most 255 bytes, none of them a space, a control character or a colon.
    Name(&'a str),
    /// The address, and its text.
    Ipv4(u32, &'a str),
    /// The groups of the address, and its text without brackets.
    Ipv6([u16; 8], &'a str),
}

impl<'a> Target<'a> {
    pub(super) fn parse(host: &'a str, port: u16) -> Option<Self> {
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let text = unbracketed.unwrap_or(host);
        let host = if let Some(groups) = parse_ipv6(text.as_bytes()) {
            Host::Ipv6(groups, text)
        } else if unbracketed.is_some() {
            return None;
        } else if let Some(address) = parse_ipv4(text.as_bytes()) {
            Host::Ipv4(address, text)
        } else if text.len() <= MAX_NAME
            && split_reg_name(text).is_some_and(|(_, rest)| rest.is_empty())
        {
            Host::Name(text)
        } else {
            return None;
        };
        (port != 0).then_some(Self { host, port })
    }
}
