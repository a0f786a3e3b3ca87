//! What is asked of each library, and the messages that go both ways.

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;

/// The limit of the programs under test.
pub const LIMIT: usize = 16 << 20;
const SIZES: [usize; 8] = [0, 1, 125, 126, 1024, 20_000, 65_535, 65_536];
const LARGE: [usize; 2] = [1 << 20, LIMIT];
const PATIENCE: Duration = Duration::from_secs(30);

/// What the library offers or agrees to; `None` is its default.
pub struct Settings {
    pub server_bits: Option<u8>,
    pub client_bits: Option<u8>,
    pub takeover: bool,
    /// Whether messages of 1 MiB and 16 MiB are exchanged, too.
    pub large: bool,
}

impl Settings {
    /// `SERVER_BITS CLIENT_BITS takeover|no-takeover small|large`, with 0 for a default.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let [server_bits, client_bits, takeover, large] = words else {
            return Err("four settings are needed".into());
        };
        let bits = |word: &str| word.parse().map(|bits| Some(bits).filter(|&bits| bits != 0));
        Ok(Self {
            server_bits: bits(server_bits)?,
            client_bits: bits(client_bits)?,
            takeover: *takeover == "takeover",
            large: *large == "large",
        })
    }
}

/// A library: how a connection begins in each role.
pub trait Library {
    type Socket: Socket;

    async fn connect(stream: TcpStream, host: &str, settings: &Settings) -> Result<Self::Socket>;

    /// Returns the target of the request, too.
    async fn accept(stream: TcpStream, settings: &Settings) -> Result<(String, Self::Socket)>;
}

/// An open connection.
pub trait Socket {
    async fn send(&mut self, text: bool, payload: Bytes) -> Result<()>;

    /// The next message, and whether it is text.
    async fn receive(&mut self) -> Result<(bool, Bytes)>;

    /// Closes with 1000 and waits for the end.
    async fn close(self) -> Result<()>;
}

/// Sends a text and a binary message of each size, and receives each of them again.
pub async fn exchange(socket: &mut impl Socket, settings: &Settings) -> Result<()> {
    for &size in SIZES.iter().chain(LARGE.iter().filter(|_| settings.large)) {
        for text in [true, false] {
            let sent = Bytes::from(payload(size, text));
            let reply = async {
                socket.send(text, sent.clone()).await?;
                socket.receive().await
            };
            let reply =
                timeout(PATIENCE, reply).await.map_err(|_| format!("no reply to {size} bytes"))?;
            let (kind, received) =
                reply.map_err(|error| format!("{error} instead of a reply to {size} bytes"))?;
            if kind != text || received != sent {
                return Err(
                    format!("another reply to {size} bytes: {} bytes", received.len()).into()
                );
            }
        }
    }
    Ok(())
}

/// Words in an order that does not repeat soon, then the same 64 KiB again and again.
fn payload(size: usize, text: bool) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["{\"id\": ", "größe", ", \"name\": ", "temperature", "日本語", "value", "0.25", "}, "];
    let mut state = size as u32 ^ u32::from(text);
    let mut payload = Vec::with_capacity(size + 16);
    let mut draw = |count: u64| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * count) >> 32) as usize
    };
    while payload.len() < size.min(1 << 16) {
        if text {
            payload.extend_from_slice(WORDS[draw(8)].as_bytes());
        } else {
            payload.extend_from_slice(&[draw(16) as u8, 0, draw(16) as u8]);
        }
    }
    while payload.len() < size {
        payload.extend_from_within(..payload.len().min(size - payload.len()));
    }
    // A character is not cut.
    let mut end = size;
    while text && std::str::from_utf8(&payload[..end]).is_err() {
        end -= 1;
    }
    payload.truncate(end);
    payload.resize(size, b'-');
    payload
}

pub fn report(outcome: Result<()>) {
    match outcome {
        Ok(()) => println!("{{\"ok\":true,\"detail\":\"\"}}"),
        Err(error) => {
            println!("{{\"ok\":false,\"detail\":\"{}\"}}", error.to_string().escape_default())
        }
    }
}
