//! One table of what a peer may send and what is to come of it, for every layer that receives.

use ws_core::ProtocolError::{self, *};
use ws_core::{Config, Role};

use crate::common::*;

/// All that has come of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) seen: Vec<Seen>,
    /// What was sent, unmasked.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) state: State,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Summary,
}

/// A list of cases for one role.
struct Table {
    role: Role,
    config: Config,
    cases: Vec<Case>,
}

impl Table {
    /// A frame to this role.
    fn f(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        to(self.role, first, payload)
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        bytes: Vec<u8>,
        seen: Vec<Seen>,
        close: Option<&[u8]>,
    ) {
        let mut sent: Vec<Vec<u8>> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Ping(payload) => Some(raw(FIN | PONG, None, payload)),
                _ => None,
            })
            .collect();
        let state = match seen.last() {
            Some(Seen::Failed(_)) => State::Failed,
            Some(Seen::Closed { .. }) => State::Closed,
            _ => State::Open,
        };
        sent.extend(close.map(|body| raw(FIN | CLOSE, None, body)));
        let expected = Summary { seen, sent, state };
        let (role, config) = (self.role, self.config);
        self.cases.push(Case { name: name.into(), role, config, bytes, expected });
    }

    /// All is well, and the connection stays open.
    fn sees(&mut self, name: impl Into<String>, bytes: Vec<u8>, seen: Vec<Seen>) {
        self.add(name, bytes, seen, None);
    }

    /// The connection fails after this; the Close frame has this code. Whatever follows is ignored.
    fn fails(
        &mut self,
        name: impl Into<String>,
        bytes: Vec<u8>,
        mut seen: Vec<Seen>,
        error: ProtocolError,
        code: u16,
    ) {
        let name = name.into();
        seen.push(failed(error));
        let late = [bytes.clone(), self.f(FIN | TEXT, b"late"), self.f(FIN | CLOSE, b"")].concat();
        let body = code.to_be_bytes();
        self.add(format!("{name}, then more"), late, seen.clone(), Some(&body));
        self.add(name, bytes, seen, Some(&body));
    }

    /// The peer closes with this body, which is answered by this one. Whatever follows is ignored.
    fn closes(
        &mut self,
        name: impl Into<String>,
        mut bytes: Vec<u8>,
        mut seen: Vec<Seen>,
        body: &[u8],
    ) {
        bytes.extend(self.f(FIN | CLOSE, body));
        let (code, reply) = match body {
            [] => (1005, &[][..]),
            body => (u16::from_be_bytes([body[0], body[1]]), &body[..2]),
        };
        let reason = String::from_utf8(body.get(2..).unwrap_or_default().to_vec()).unwrap();
        seen.push(closed(code, &reason));
        let name = name.into();
        let late = [&bytes[..], &self.f(FIN | PING, b"late"), &[0xff; 9]].concat();
        self.add(format!("{name}, then more"), late, seen.clone(), Some(reply));
        self.add(name, bytes, seen, Some(reply));
    }
}

/// Every rule of the open connection, for both roles.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in ROLES {
        let mut table = Table { role, config: Config::new(), cases };
        messages(&mut table);
        headers(&mut table);
        fragments(&mut table);
        controls(&mut table);
        closing(&mut table);
        utf8(&mut table);
        limits(&mut table);
        cases = table.cases;
    }
    cases
}

// RFC 6455 §5.6
fn messages(t: &mut Table) {
    t.sees("nothing", vec![], vec![]);
    t.sees("text", t.f(FIN | TEXT, "Hello κόσμε".as_bytes()), vec![text("Hello κόσμε")]);
    t.sees("empty text", t.f(FIN | TEXT, b""), vec![text("")]);
    t.sees("empty binary", t.f(FIN | BINARY, b""), vec![binary(b"")]);
    for len in [1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..len).map(|at: u32| (at % 251) as u8).collect();
        t.sees(format!("binary of {len}"), t.f(FIN | BINARY, &payload), vec![binary(&payload)]);
    }
    let long = "κόσμε 𐍈 ".repeat(900);
    t.sees("long text", t.f(FIN | TEXT, long.as_bytes()), vec![text(&long)]);
    let both = [t.f(FIN | TEXT, b"a"), t.f(FIN | BINARY, b"\xff"), t.f(FIN | TEXT, b"c")].concat();
    t.sees("several messages", both, vec![text("a"), binary(b"\xff"), text("c")]);
    t.sees("half a message", t.f(FIN | TEXT, b"hello")[..4].to_vec(), vec![]);
}

// RFC 6455 §5.1, §5.2
fn headers(t: &mut Table) {
    for rsv in 1..8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG, CONT] {
            t.fails(
                format!("rsv {rsv} on {opcode:#x}"),
                t.f(FIN | rsv << 4 | opcode, b""),
                vec![],
                ReservedBits,
                1002,
            );
        }
    }
    for opcode in (3..8).chain(11..16) {
        for first in [opcode, FIN | opcode] {
            t.fails(
                format!("first byte {first:#x}"),
                t.f(first, b"x"),
                vec![],
                ReservedOpcode(opcode),
                1002,
            );
        }
    }
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let (key, error) = match t.role {
                Role::Server => (None, UnmaskedFrame),
                Role::Client => (Some(KEY), MaskedFrame),
            };
            let bytes = [t.f(FIN | TEXT, b"a"), raw(FIN | opcode, key, payload)].concat();
            t.fails(format!("mask direction of {opcode:#x}"), bytes, vec![text("a")], error, 1002);
        }
    }
    for (short, extended, error) in [
        (126, &[0, 0][..], NonMinimalLength),
        (126, &[0, 125], NonMinimalLength),
        (127, &[0, 0, 0, 0, 0, 0, 0, 0], NonMinimalLength),
        (127, &[0, 0, 0, 0, 0, 0, 255, 255], NonMinimalLength),
        (127, &[0x80, 0, 0, 0, 0, 0, 0, 0], LengthOverflow),
        (127, &[255, 255, 255, 255, 255, 255, 255, 242], LengthOverflow),
        (127, &[255; 8], LengthOverflow),
    ] {
        let bytes = length(t.role, FIN | BINARY, short, extended);
        t.fails(format!("length {extended:02x?}"), bytes, vec![], error, 1002);
    }
}

// RFC 6455 §5.4
fn fragments(t: &mut Table) {
    let parts = [t.f(TEXT, b"a"), t.f(CONT, b"b"), t.f(CONT, b""), t.f(FIN | CONT, b"c")];
    t.sees("fragments", parts.concat(), vec![text("abc")]);
    t.sees("unfinished message", parts[..3].concat(), vec![]);
    let empty = [t.f(BINARY, b""), t.f(CONT, b"").repeat(50), t.f(FIN | CONT, b"")].concat();
    t.sees("empty fragments", empty, vec![binary(b"")]);
    let mixed =
        [t.f(BINARY, b""), t.f(CONT, &[1; 5000]), t.f(CONT, b"\x02"), t.f(FIN | CONT, &[3; 300])];
    let whole = [&[1; 5000][..], b"\x02", &[3; 300]].concat();
    t.sees("fragments of all sizes", mixed.concat(), vec![binary(&whole)]);
    let between = parts
        .iter()
        .flat_map(|part| [part.clone(), t.f(FIN | PING, b"p"), t.f(FIN | PONG, b"q")].concat())
        .collect();
    let pair = || [ping(b"p"), pong(b"q")];
    let seen = [&pair()[..], &pair(), &pair(), &[text("abc")], &pair()].concat();
    t.sees("control frames between fragments", between, seen);
    let two = [parts.concat(), t.f(BINARY, b"d"), t.f(FIN | CONT, b"e")].concat();
    t.sees("two messages in fragments", two, vec![text("abc"), binary(b"de")]);
    for first in [CONT, FIN | CONT] {
        t.fails("continuation of nothing", t.f(first, b"x"), vec![], UnexpectedContinuation, 1002);
        let after = [t.f(FIN | TEXT, b"a"), t.f(first, b"x")].concat();
        t.fails(
            "continuation after a whole message",
            after,
            vec![text("a")],
            UnexpectedContinuation,
            1002,
        );
        let after = [parts.concat(), t.f(FIN | PING, b""), t.f(first, b"x")].concat();
        t.fails(
            "continuation after the last",
            after,
            vec![text("abc"), ping(b"")],
            UnexpectedContinuation,
            1002,
        );
    }
    for first in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
        let inside = [t.f(TEXT, b"a"), t.f(FIN | PONG, b""), t.f(first, b"b")].concat();
        t.fails("message inside a message", inside, vec![pong(b"")], InterleavedMessage, 1002);
    }
    t.closes("close inside a message", parts[..2].concat(), vec![], &close_body(1000, ""));
}

// RFC 6455 §5.5
fn controls(t: &mut Table) {
    for payload in [&b""[..], b"x", &[0xfe; 125]] {
        t.sees("ping", t.f(FIN | PING, payload), vec![ping(payload)]);
        t.sees("pong", t.f(FIN | PONG, payload), vec![pong(payload)]);
    }
    let ten: Vec<u8> = (0..10).flat_map(|n| t.f(FIN | PING, &[n])).collect();
    t.sees("ten pings", ten, (0..10).map(|n| ping(&[n])).collect());
    for opcode in [CLOSE, PING, PONG] {
        let long = [t.f(FIN | TEXT, b"a"), t.f(FIN | opcode, &[0; 126])].concat();
        t.fails("control frame of 126", long, vec![text("a")], ControlTooLong, 1002);
        let huge = length(t.role, FIN | opcode, 127, &(1_u64 << 40).to_be_bytes());
        t.fails("control frame of 2^40", huge, vec![], ControlTooLong, 1002);
        t.fails("control frame without FIN", t.f(opcode, b""), vec![], FragmentedControl, 1002);
    }
}

// RFC 6455 §5.5.1, §7.4
fn closing(t: &mut Table) {
    let hello = t.f(FIN | TEXT, b"hello");
    t.closes("close without a body", hello.clone(), vec![text("hello")], b"");
    t.closes("close with a reason", hello, vec![text("hello")], &close_body(1000, "bye κόσμε"));
    t.closes("longest reason", vec![], vec![], &close_body(1001, &"x".repeat(123)));
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        t.closes(format!("close {code}"), vec![], vec![], &close_body(code, ""));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        t.fails(
            format!("close {code}"),
            t.f(FIN | CLOSE, &close_body(code, "")),
            vec![],
            InvalidCloseCode(code),
            1002,
        );
    }
    t.fails("close with half a code", t.f(FIN | CLOSE, b"\x03"), vec![], CloseBodyTooShort, 1002);
    t.fails(
        "reason that is not UTF-8",
        t.f(FIN | CLOSE, b"\x03\xe8a\xce"),
        vec![],
        InvalidCloseReason,
        1007,
    );
}

// RFC 6455 §8.1, RFC 3629
fn utf8(t: &mut Table) {
    for valid in
        ["\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}", "κόσμε", "\0"]
    {
        let bytes = valid.as_bytes();
        for cut in 0..=bytes.len() {
            let parts =
                [t.f(TEXT, &bytes[..cut]), t.f(FIN | PING, b""), t.f(FIN | CONT, &bytes[cut..])];
            t.sees(format!("{valid:?} cut at {cut}"), parts.concat(), vec![ping(b""), text(valid)]);
        }
    }
    for bad in [
        &b"\x80"[..],
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce",
        b"\xe2\x82",
        b"\xf0\x90\x8d",
        b"\xcea",
        b"\xe2\x82a",
        b"\xf0\x90\x8da",
    ] {
        for before in ["", "a", "κόσμε", "0123456789abcdef"] {
            let payload = [before.as_bytes(), bad].concat();
            let name = format!("{bad:02x?} after {before:?}");
            t.fails(&*name, t.f(FIN | TEXT, &payload), vec![], InvalidUtf8, 1007);
            let (a, b) = payload.split_at(payload.len() - 1);
            let parts = [t.f(TEXT, a), t.f(FIN | CONT, b)].concat();
            t.fails(format!("{name} in fragments"), parts, vec![], InvalidUtf8, 1007);
            t.sees(
                format!("{name} as binary"),
                t.f(FIN | BINARY, &payload),
                vec![binary(&payload)],
            );
        }
    }
    // A fault is certain before the message is over.
    let early = [t.f(TEXT, "κόσμε\u{d7ff}".as_bytes()), t.f(CONT, b"\xf4\x90")].concat();
    t.fails("fault in the middle", early, vec![], InvalidUtf8, 1007);
    let open = [t.f(TEXT, b"\xe2\x82"), t.f(FIN | CONT, b"")].concat();
    t.fails("character without an end", open, vec![], InvalidUtf8, 1007);
    let fresh =
        [t.f(BINARY, b"\xff\xe2"), t.f(FIN | CONT, b"\x82"), t.f(FIN | TEXT, "€".as_bytes())];
    t.sees("text after binary", fresh.concat(), vec![binary(b"\xff\xe2\x82"), text("€")]);
}

// RFC 6455 §10.4
fn limits(t: &mut Table) {
    let above = (16_u64 * 1024 * 1024 + 1).to_be_bytes();
    for len in [&above[..], &(1_u64 << 32).to_be_bytes(), &(u64::MAX >> 1).to_be_bytes()] {
        let bytes = length(t.role, FIN | BINARY, 127, len);
        t.fails(format!("length {len:02x?}"), bytes, vec![], FrameTooLarge, 1009);
    }
    t.config = Config::new().max_frame(10).max_message(25);
    t.sees("frame at its limit", t.f(FIN | BINARY, &[1; 10]), vec![binary(&[1; 10])]);
    let above = [t.f(FIN | TEXT, b"a"), t.f(FIN | BINARY, &[1; 11])].concat();
    t.fails("frame above its limit", above, vec![text("a")], FrameTooLarge, 1009);
    let parts = [t.f(BINARY, &[1; 10]), t.f(CONT, &[1; 10])].concat();
    let fits = [&parts[..], &t.f(CONT, &[1; 5]), &t.f(FIN | CONT, b"")].concat();
    t.sees("message at its limit", fits, vec![binary(&[1; 25])]);
    let above = [&parts[..], &t.f(FIN | PING, b"p"), &t.f(FIN | CONT, &[1; 6])].concat();
    t.fails("message above its limit", above, vec![ping(b"p")], MessageTooLarge, 1009);
    let again = t.f(FIN | BINARY, &[1; 10]).repeat(3);
    t.sees("the limit is for each message", again, vec![binary(&[1; 10]); 3]);
    t.sees(
        "control frames have a limit of their own",
        t.f(FIN | PING, &[1; 125]),
        vec![ping(&[1; 125])],
    );
    t.config = Config::new().max_message(10);
    t.fails(
        "one frame above the message's limit",
        t.f(FIN | TEXT, &[b'x'; 11]),
        vec![],
        MessageTooLarge,
        1009,
    );
    t.config = Config::new();
}
