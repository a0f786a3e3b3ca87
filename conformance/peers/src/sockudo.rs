//! sockudo-ws: its parts of the handshakes, because its whole ones offer no extension.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate, parse_deflate_offer};
use sockudo_ws::error::CloseReason;
use sockudo_ws::handshake::{
    build_request, build_response, generate_accept_key, generate_key, parse_request,
    parse_response, validate_accept_key,
};
use sockudo_ws::{CompressedWebSocketStream, Config, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::exchange::{LIMIT, Library, Settings, Socket};

pub struct Sockudo;

impl Library for Sockudo {
    type Socket = CompressedWebSocketStream<TcpStream>;

    async fn connect(
        mut stream: TcpStream,
        host: &str,
        settings: &Settings,
    ) -> Result<Self::Socket> {
        let key = generate_key();
        stream.write_all(&build_request(host, "/", &key, None, Some(&offer(settings)))).await?;
        let mut buffer = BytesMut::new();
        loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the connection ended in the handshake".into());
            }
            let Some((response, consumed)) = parse_response(&buffer)? else { continue };
            if !response.accept.is_some_and(|accept| validate_accept_key(&key, accept)) {
                return Err("another key".into());
            }
            let agreed =
                response.extensions.and_then(parse_deflate_offer).ok_or("no permessage-deflate")?;
            let deflate = DeflateConfig::from_params(&agreed)?;
            let rest = Some(Bytes::copy_from_slice(&buffer[consumed..]));
            return Ok(CompressedWebSocketStream::client_with_leftover(
                stream,
                config(),
                deflate,
                rest,
            ));
        }
    }

    async fn accept(mut stream: TcpStream, settings: &Settings) -> Result<(String, Self::Socket)> {
        let mut buffer = BytesMut::new();
        loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the connection ended in the handshake".into());
            }
            let Some((request, consumed)) = parse_request(&buffer)? else { continue };
            let agreed = request
                .extensions
                .and_then(|offers| negotiate_server_deflate(offers, &policy(settings)));
            let agreed = agreed.ok_or("no offer of permessage-deflate that it can keep to")?;
            let answer = agreed.to_response_header();
            stream
                .write_all(&build_response(&generate_accept_key(request.key), None, Some(&answer)))
                .await?;
            let target = request.path.to_string();
            let rest = Some(Bytes::copy_from_slice(&buffer[consumed..]));
            let socket = CompressedWebSocketStream::server_with_leftover(
                stream,
                config(),
                agreed.config,
                rest,
            );
            return Ok((target, socket));
        }
    }
}

fn config() -> Config {
    Config::builder().max_message_size(LIMIT).max_frame_size(LIMIT).build()
}

fn offer(settings: &Settings) -> String {
    let mut offer = "permessage-deflate".to_owned();
    if !settings.takeover {
        offer += "; server_no_context_takeover; client_no_context_takeover";
    }
    if let Some(bits) = settings.server_bits {
        offer += &format!("; server_max_window_bits={bits}");
    }
    match settings.client_bits {
        Some(bits) => offer + &format!("; client_max_window_bits={bits}"),
        None => offer + "; client_max_window_bits",
    }
}

fn policy(settings: &Settings) -> DeflateConfig {
    let bits = |bits: Option<u8>| bits.unwrap_or(15).try_into().expect("9 to 15");
    DeflateConfig {
        server_max_window_bits: bits(settings.server_bits),
        client_max_window_bits: bits(settings.client_bits),
        server_no_context_takeover: !settings.takeover,
        client_no_context_takeover: !settings.takeover,
        ..DeflateConfig::default()
    }
}

impl Socket for CompressedWebSocketStream<TcpStream> {
    async fn send(&mut self, text: bool, payload: Bytes) -> Result<()> {
        let message = if text { Message::Text(payload) } else { Message::Binary(payload) };
        Ok(SinkExt::send(self, message).await?)
    }

    async fn receive(&mut self) -> Result<(bool, Bytes)> {
        while let Some(message) = self.next().await {
            match message? {
                Message::Text(payload) => return Ok((true, payload)),
                Message::Binary(payload) => return Ok((false, payload)),
                Message::Close(_) => break,
                _ => {}
            }
        }
        Err("closed".into())
    }

    async fn close(mut self) -> Result<()> {
        SinkExt::send(&mut self, Message::Close(Some(CloseReason::new(1000, "")))).await?;
        while let Some(Ok(_)) = self.next().await {}
        Ok(())
    }
}
