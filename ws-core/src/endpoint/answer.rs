//! The sending side of the opening handshake: a client's request and a server's answer.
//!
//! The receiving side stores a parsed request here, and the application answers it. When the receiving side is polled
//! next, it finds the answer.

use alloc::string::{String, ToString};

use super::http::Request;
use super::outbound::Outbound;
use super::output::Output;
use crate::Role;
use crate::connection::ConnectionState;
#[cfg(feature = "zlib-rs")]
use crate::handshake::DeflateExtension;
use crate::handshake::{AcceptResponse, HandshakeError, HttpResponse, OpenError};

/// The usual maximum length of a head in bytes.
const USUAL_HEAD: usize = 512;

/// The request that waits for an answer, or its answer.
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
    /// Returns an error if no upgrade request is waiting, if the subprotocol was not offered, or if a header is not
    /// valid. Nothing is written then.
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

    /// Answers any request with an HTTP response, including its body, and ends the connection.
    ///
    /// # Errors
    ///
    /// Returns an error if no request is waiting or the response is not valid. Nothing is written then.
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

    /// Returns the request that is waiting, unless the stream has failed or is no longer waited for.
    fn request(&self) -> Result<&Request, OpenError> {
        match &self.answer {
            Answer::Asked(request) if !self.is_given_up() => Ok(request),
            _ => Err(OpenError::NoRequest),
        }
    }

    /// Stores a request that was received and waits for its answer.
    pub(super) fn asked(&mut self, request: Request) {
        self.answer = Answer::Asked(request);
        self.sender.ending.set_state(ConnectionState::Asked);
    }

    /// Records that the client has ended its side of the stream and waits for a page.
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

    /// Ends the connection if no WebSocket was opened, or if nothing can be sent any more. Only the first call has an
    /// effect.
    pub(super) fn over(&mut self) {
        if self.sender.ending.state() != ConnectionState::Over {
            self.sender.ending.set_state(ConnectionState::Over);
            self.sender.timers.restart_closing();
        }
        self.answer = Answer::None;
    }

    /// Appends the HTTP head that `write` writes into a slice.
    pub(super) fn head(
        &mut self,
        write: impl Fn(&mut [u8]) -> Result<usize, OpenError>,
    ) -> Result<(), OpenError> {
        append_head(&mut self.output, write)
    }

    /// Answers a faulty request. `with_body` is false if the method of the request is HEAD.
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
