//! The peers. Each has one file, which says how it is driven and what it does not check.

mod embedded_websocket;
mod fastwebsockets;
mod sockudo;
mod soketto;
mod tokio_websockets;
mod tungstenite;
mod web_socket;
mod websocket_sans_io;
mod ws_framer;
mod yawc;

pub use embedded_websocket::EmbeddedWebsocket;
pub use fastwebsockets::Fastwebsockets;
pub use sockudo::Sockudo;
pub use soketto::Soketto;
pub use tokio_websockets::TokioWebsockets;
pub use tungstenite::Tungstenite;
pub use web_socket::WebSocket;
pub use websocket_sans_io::WebsocketSansIo;
pub use ws_framer::WsFramer;
pub use yawc::Yawc;

pub(crate) mod handshakes {
    //! The opening handshakes of those that have one without an HTTP server around them.
    pub(crate) use super::embedded_websocket::handshake as embedded_websocket;
    pub(crate) use super::sockudo::handshake as sockudo;
    pub(crate) use super::soketto::handshake as soketto;
    pub(crate) use super::tokio_websockets::handshake as tokio_websockets;
    pub(crate) use super::tungstenite::handshake as tungstenite;
}

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Returns the result of a future whose streams are in memory, so that it never waits.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory is never busy"),
    }
}
