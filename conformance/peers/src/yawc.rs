//! yawc: its own handshakes, the server's by hyper.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::SinkExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use yawc::close::CloseCode;
use yawc::{CompressionLevel, Frame, HttpStream, OpCode, Options, WebSocket};

use crate::Result;
use crate::exchange::{LIMIT, Library, Settings, Socket};

pub struct Yawc;

impl Library for Yawc {
    type Socket = Connection;

    async fn connect(stream: TcpStream, host: &str, settings: &Settings) -> Result<Self::Socket> {
        let url = format!("ws://{host}/").parse()?;
        Ok(Connection::Client(WebSocket::handshake(url, stream, options(settings)).await?))
    }

    async fn accept(stream: TcpStream, settings: &Settings) -> Result<(String, Self::Socket)> {
        let accepted = Arc::new(Mutex::new(None));
        let service = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
            let accepted = accepted.clone();
            let options = options(settings);
            async move {
                let target = request.uri().to_string();
                let (response, upgrade) = WebSocket::upgrade_with_options(&mut request, options)?;
                *accepted.lock().expect("no panic") = Some((target, upgrade));
                Ok::<_, yawc::WebSocketError>(response)
            }
        });
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await?;
        let (target, upgrade) = accepted.lock().expect("no panic").take().ok_or("no request")?;
        Ok((target, Connection::Server(upgrade.await?)))
    }
}

fn options(settings: &Settings) -> Options {
    let mut options = Options::default()
        .with_compression_level(CompressionLevel::fast())
        // It has no end of compressing an empty message after a flush.
        .with_compression_threshold(1)
        .with_utf8()
        .with_limits(LIMIT + 1, 2 * LIMIT);
    if let Some(bits) = settings.server_bits {
        options = options.with_server_max_window_bits(bits);
    }
    if let Some(bits) = settings.client_bits {
        options = options.with_client_max_window_bits(bits);
    }
    if !settings.takeover {
        options = options.server_no_context_takeover().client_no_context_takeover();
    }
    options
}

/// yawc has another stream in each role.
pub enum Connection {
    Client(WebSocket<TcpStream>),
    Server(WebSocket<HttpStream>),
}

impl Connection {
    async fn write(&mut self, frame: Frame) -> Result<()> {
        match self {
            Self::Client(socket) => socket.send(frame).await?,
            Self::Server(socket) => socket.send(frame).await?,
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Frame> {
        Ok(match self {
            Self::Client(socket) => socket.next_frame().await?,
            Self::Server(socket) => socket.next_frame().await?,
        })
    }
}

impl Socket for Connection {
    async fn send(&mut self, text: bool, payload: Bytes) -> Result<()> {
        self.write(if text { Frame::text(payload) } else { Frame::binary(payload) }).await
    }

    async fn receive(&mut self) -> Result<(bool, Bytes)> {
        loop {
            let frame = self.read().await?;
            match frame.opcode() {
                OpCode::Text => return Ok((true, frame.into_payload())),
                OpCode::Binary => return Ok((false, frame.into_payload())),
                OpCode::Close => return Err("closed".into()),
                _ => {}
            }
        }
    }

    async fn close(mut self) -> Result<()> {
        self.write(Frame::close(CloseCode::Normal, "")).await?;
        while self.read().await.is_ok() {}
        Ok(())
    }
}
