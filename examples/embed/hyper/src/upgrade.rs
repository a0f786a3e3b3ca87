//! A WebSocket where hyper has parsed the request. Every rule of RFC 6455 §4.2.1 and the check of the Origin
//! hold as if `ws_core` had read it; tokio's driver takes over when the response is written.

use std::io;

use embed_tokio::WebSocket;
use hyper::header::{HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use ws_core::endpoint::{Endpoint, Options, Origins};
use ws_core::handshake::*;

/// What a request asks for, with the response to it.
pub enum Asked {
    /// No WebSocket: this is for the application to answer.
    Plain,
    Refused(Response<String>),
    WebSocket(Response<String>, Opening),
}

/// A WebSocket that opens as soon as hyper has written the response.
pub struct Opening(OnUpgrade);

impl Opening {
    pub async fn open(self, options: Options) -> io::Result<WebSocket<TokioIo<Upgraded>>> {
        let stream = TokioIo::new(self.0.await.map_err(io::Error::other)?);
        // What hyper has read behind the head, the stream gives first: nothing is left over.
        Ok(WebSocket::new(stream, Endpoint::server_after_handshake(options, &[])))
    }
}

/// Checks a request and accepts it, with the first of the `subprotocols` that the client offers.
pub fn upgrade<B>(request: &mut Request<B>, origins: &Origins, subprotocols: &[&str]) -> Asked {
    match accept(request, origins, subprotocols) {
        Ok(Some(response)) => Asked::WebSocket(response, Opening(hyper::upgrade::on(request))),
        Ok(None) => Asked::Plain,
        Err(error) => {
            let mut response = Response::new(format!("{error}\n"));
            let status = error.status().and_then(|status| StatusCode::from_u16(status).ok());
            *response.status_mut() = status.unwrap_or(StatusCode::BAD_REQUEST);
            error.fields().iter().for_each(|(name, value)| put(&mut response, name, value));
            Asked::Refused(response)
        }
    }
}

fn accept<B>(
    request: &Request<B>,
    origins: &Origins,
    subprotocols: &[&str],
) -> Result<Option<Response<String>>, HandshakeError> {
    let map = request.headers().iter();
    let fields = map.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (method, target) = (request.method().as_str(), request.uri().to_string());
    let minor = u8::from(request.version() == Version::HTTP_11);
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let head = RequestHead::from_parts(method, &target, minor, fields, &mut slots)?;
    let Some(asked) = head.upgrade()? else { return Ok(None) };
    origins.check(asked.origin, asked.host)?;
    // Offers were checked to be tokens, so that an offered one is always valid in the answer.
    let subprotocol = select_subprotocol(asked.subprotocols(), subprotocols);
    let answer = AcceptResponse::new().subprotocol(subprotocol);
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let _ = answer.fields(asked.key, |name, value| put(&mut response, name, value));
    Ok(Some(response))
}

fn put(response: &mut Response<String>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().append(name, value);
    }
}
