//! The opening handshake of a server: it reads a browser's request and writes the response.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::Endpoint;
use ws_core::endpoint::{Event, Next, Options};
use ws_core::handshake::{
    AcceptResponse, ClientKey, DEFAULT_MAX_HEAD, FieldSlots, HeadReader, RequestHead, ResponseHead,
    same_origin,
};

use crate::clock;
use crate::endpoint::{read, write};
use crate::kernel::{self, READ};
use crate::peers::handshakes;

/// The request of Chrome: 480 bytes, 12 fields.
const REQUEST: &str = "GET /ws HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://www.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const _: () = assert!(REQUEST.len() == 480);

/// The sixteen bytes of its key.
const NONCE: [u8; 16] = *b"the sample nonce";

/// Reads a request and writes a response through [`kernel`]. The buffer is for engines that want one, and is kept.
pub type Handshake = fn(&mut [u8; 4096]);

/// Each way to do it, with its name. The first one is the floor.
pub const ALL: [(&str, Handshake); 8] = [
    (FLOOR, httparse),
    ("ws-core/functions", functions),
    ("ws-core/endpoint", endpoint),
    ("tungstenite", |_| handshakes::tungstenite()),
    ("tokio-websockets", |_| handshakes::tokio_websockets()),
    ("embedded-websocket", handshakes::embedded_websocket),
    ("sockudo-ws", handshakes::sockudo),
    ("soketto", |_| handshakes::soketto()),
];

const FLOOR: &str = "httparse";

/// The request, which is loaded before each handshake.
pub fn request() -> Bytes {
    Bytes::from_static(REQUEST.as_bytes())
}

/// Checks that a client accepts the response.
pub fn check(name: &str, handshake: Handshake) {
    kernel::load(&request(), READ);
    let response = kernel::capture(|| handshake(&mut [0; 4096]));
    if name != FLOOR {
        let mut slots = FieldSlots::<16>::new();
        let head = ResponseHead::parse(&response, &mut slots).expect("a response");
        head.accept(&ClientKey::from_nonce(NONCE), [], None).expect("the right accept key");
    }
}

/// The parser alone, without a response.
fn httparse(buffer: &mut [u8; 4096]) {
    let len = kernel::read(buffer);
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(&buffer[..len]).is_ok_and(|status| status.is_complete()));
    black_box(request);
}

/// The functions, as a driver without an allocator calls them. They check every rule and the origin.
fn functions(buffer: &mut [u8; 4096]) {
    let (input, output) = buffer.split_at_mut(3072);
    let len = kernel::read(input);
    let mut reader = HeadReader::request(DEFAULT_MAX_HEAD);
    let len = reader.push(&input[..len]).expect("a head").expect("a whole one");
    let mut slots = FieldSlots::<16>::new();
    let request = RequestHead::parse(&input[..len], &mut slots).expect("a request");
    let upgrade = request.upgrade().expect("a valid request").expect("for a WebSocket");
    assert!(upgrade.origin.is_none_or(|origin| same_origin(origin, upgrade.host)));
    let len = AcceptResponse::new().write(upgrade.key, output).expect("there is room");
    kernel::write(&output[..len]);
}

/// A new `Endpoint`, which is open afterwards. It checks every rule and the origin, and reports the request.
fn endpoint(_buffer: &mut [u8; 4096]) {
    let mut endpoint = Endpoint::server(Options::new());
    loop {
        match endpoint.next_ref(clock) {
            Next::Event((Event::Request(_), out)) => {
                out.accept(&AcceptResponse::new()).expect("a request waits");
            }
            Next::Event((Event::Open { .. }, _)) => {}
            Next::Write { output, .. } => write(output),
            Next::Wait { read: Some(inbound), .. } => {
                if !read(inbound) {
                    break;
                }
            }
            next => panic!("{next:?}"),
        }
    }
}
