//! A proxy on loopback that opens one tunnel.
#![allow(dead_code, unreachable_pub)]

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use super::common::{Raw, field, play};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Socks5,
}

pub const BOTH: [Protocol; 2] = [Protocol::Http, Protocol::Socks5];

impl Protocol {
    /// The URL of a proxy whose address is in that of a server.
    pub fn url(self, server: &str) -> String {
        let scheme = if self == Self::Http { "http" } else { "socks5" };
        server.replace("ws://", &format!("{scheme}://"))
    }
}

/// A proxy that leads to `server`, whatever it is asked for; its URL. With a login, it asks for user `user` and password
/// `pass`. It returns what it was asked for, once the tunnel has ended.
pub fn proxy(protocol: Protocol, login: bool, server: SocketAddr) -> (String, JoinHandle<String>) {
    let (url, thread) = play(move |mut client| {
        let asked = match protocol {
            Protocol::Http => connect(&mut client, login),
            Protocol::Socks5 => socks5(&mut client, login),
        };
        let Some(asked) = asked else { return String::new() };
        let server = TcpStream::connect(server).unwrap();
        client.write(match protocol {
            // No field of a 2xx delimits a body.
            Protocol::Http => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            Protocol::Socks5 => b"\x05\0\0\x03\x04here\0\x50",
        });
        let (from, to) = (client.stream.try_clone().unwrap(), server.try_clone().unwrap());
        let back = thread::spawn(move || pass(server, client.stream));
        pass(from, to);
        back.join().unwrap();
        asked
    });
    (protocol.url(&url), thread)
}

/// Passes on what comes, and its end.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn connect(client: &mut Raw, login: bool) -> Option<String> {
    let head = client.head();
    // base64 of `user:pass`
    let credentials = login.then_some("Basic dXNlcjpwYXNz");
    if field(&head, "Proxy-Authorization") != credentials {
        client.write(
            b"HTTP/1.1 407 Log in\r\nProxy-Authenticate: Basic realm=\"a\"\r\nContent-Length: 2\r\n\r\nno",
        );
        return None;
    }
    let asked = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    assert_eq!(field(&head, "Host"), Some(&*asked));
    Some(asked)
}

fn socks5(client: &mut Raw, login: bool) -> Option<String> {
    let count = client.exactly(2).unwrap()[1];
    let methods = client.exactly(count.into()).unwrap();
    let method = if login { 2 } else { 0 };
    if !methods.contains(&method) {
        client.write(b"\x05\xff");
        return None;
    }
    client.write(&[5, method]);
    if login {
        client.exactly(1).unwrap();
        let credentials = [(); 2].map(|()| {
            let length = client.exactly(1).unwrap()[0];
            client.exactly(length.into()).unwrap()
        });
        if credentials != [b"user", b"pass"] {
            client.write(b"\x01\x01");
            return None;
        }
        client.write(b"\x01\x00");
    }
    let request = client.exactly(4).unwrap();
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(client.exactly(4).unwrap()).unwrap())
            .to_string(),
        3 => {
            let length = client.exactly(1).unwrap()[0];
            String::from_utf8(client.exactly(length.into()).unwrap()).unwrap()
        }
        other => panic!("address type {other}"),
    };
    let port = u16::from_be_bytes(client.exactly(2).unwrap().try_into().unwrap());
    Some(format!("{host}:{port}"))
}
