//! The sending side's part of the opening handshake: a client's request, and a server's answer.
//!
//! A request that was parsed is left here by the receiving side, the application answers it, and the receiving
//! side finds the answer when it is asked next.

use alloc::string::{String, ToString};

use super::http::Request;
use super::outbound::Outbound;
use super::output::Output;
use crate::Role;
use crate::connection::ConnectionState;
#[cfg(feature = "zlib-rs")]
use crate::handshake::DeflateExtension;
use crate::handshake::{AcceptResponse, HandshakeError, HttpResponse, OpenError};

/// Most heads are shorter, in bytes.
const USUAL_HEAD: usize = 512;

/// How a request was answered.
#[derive(Debug)]
pub(super) enum Answer {
    None,
    Asked(Request),
    Accepted(Option<String>),
}

impl Outbound {
    /// Answers a request for a WebSocket with 101. [`Event::Open`](super::Event::Open) follows.
    ///
    /// # Errors
    ///
    /// No such request waits, a subprotocol was not offered, or a header is not valid. Nothing was written.
    pub fn accept(&mut self, response: &AcceptResponse<'_>) -> Result<(), OpenError> {
        let request = self.request()?;
        let accept = *request.accept().ok_or(OpenError::NoRequest)?;
        response.check_offered(request.subprotocols(), "")?;
        #[cfg(feature = "zlib-rs")]
        let agreed = request.deflate();
        #[cfg(feature = "zlib-rs")]
        let answer = agreed.map(|params| params.answer());
        #[cfg(feature = "zlib-rs")]
        let response = &response.extensions(answer.as_ref().map(DeflateExtension::as_str));
        append_head(&mut self.output, |out| response.write_accept(&accept, out))?;
        self.answer = Answer::Accepted(response.chosen_subprotocol().map(ToString::to_string));
        #[cfg(feature = "zlib-rs")]
        if let Some(params) = agreed {
            self.set_deflate(&params);
        }
        self.open();
        Ok(())
    }

    /// Answers a request, of either kind, with an HTTP response, body included, and ends.
    ///
    /// # Errors
    ///
    /// No request waits, or the response is not valid. Nothing was written.
    pub fn respond(&mut self, response: &HttpResponse<'_>) -> Result<(), OpenError> {
        let request = self.request()?;
        let with_body = request.method() != "HEAD" && !matches!(response.status, 204 | 304);
        append_head(&mut self.output, |out| response.write_head(out))?;
        if with_body {
            self.output.append(response.body);
        }
        self.answer = Answer::None;
        self.over();
        Ok(())
    }

    /// The request that waits, if its client still does.
    fn request(&self) -> Result<&Request, OpenError> {
        match &self.answer {
            Answer::Asked(request) if !self.is_given_up() => Ok(request),
            _ => Err(OpenError::NoRequest),
        }
    }

    /// A request has come, and waits for its answer.
    pub(super) fn asked(&mut self, request: Request) {
        self.answer = Answer::Asked(request);
        self.sender.ending.set_state(ConnectionState::Asked);
    }

    /// The client has ended its side of the stream, and waits for an answer that is no WebSocket.
    pub(super) fn half_closed(&mut self) {
        if self.sender.ending.state() == ConnectionState::Asked {
            self.sender.ending.set_state(ConnectionState::HalfClosed);
            self.sender.timers.begin_closing();
        }
    }

    pub(super) fn open(&mut self) {
        self.sender.ending.set_state(ConnectionState::Open);
        self.sender.timers.opened();
    }

    /// Ends without a WebSocket, or without any way to send; the first call counts.
    pub(super) fn over(&mut self) {
        if self.sender.ending.state() != ConnectionState::Over {
            self.sender.ending.set_state(ConnectionState::Over);
            self.sender.timers.restart_closing();
        }
        self.answer = Answer::None;
    }

    /// Appends an HTTP head that `write` makes, given a slice that is long enough.
    pub(super) fn head(
        &mut self,
        write: impl Fn(&mut [u8]) -> Result<usize, OpenError>,
    ) -> Result<(), OpenError> {
        append_head(&mut self.output, write)
    }

    /// Answers a faulty request, with a body if one may come.
    pub(super) fn refuse(&mut self, error: HandshakeError, with_body: bool) {
        if self.role() == Role::Server && error.status().is_some() {
            let _ = match with_body {
                true => self.head(|out| error.write_response(out)),
                false => self.head(|out| error.write_response_head(out)),
            };
        }
        self.over();
    }
}

fn append_head(
    output: &mut Output,
    write: impl Fn(&mut [u8]) -> Result<usize, OpenError>,
) -> Result<(), OpenError> {
    let mut attempt = |room| {
        let mut result = Ok(());
        output.append_with(room, |out| {
            write(out).unwrap_or_else(|error| {
                result = Err(error);
                0
            })
        });
        result
    };
    match attempt(USUAL_HEAD) {
        Err(OpenError::BufferTooSmall { needed }) => attempt(needed),
        result => result,
    }
}
