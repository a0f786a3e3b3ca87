//! Memory that many endpoints share.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use super::Endpoint;

/// Read and write buffers for any number of endpoints that are driven by one thread.
///
/// An endpoint that borrows them with [`Endpoint::with_buffers`] has memory of its own only for what it must not
/// lose: a frame or message that has arrived in part, and output that is not written yet. An idle connection
/// has none.
#[derive(Default)]
pub struct Buffers {
    read: Vec<u8>,
    output: Vec<u8>,
}

impl Buffers {
    /// Returns buffers that are allocated when they are first used: 64 KiB to read, and as much as is needed to write,
    /// of which up to 64 KiB are kept.
    pub const fn new() -> Self {
        Self { read: Vec::new(), output: Vec::new() }
    }
}

/// Shows the sizes only, because the content may be secret.
impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("read", &self.read.len())
            .field("output", &self.output.len())
            .finish()
    }
}

/// An [`Endpoint`] that works in shared [`Buffers`] until this is dropped.
#[derive(Debug)]
#[must_use = "the endpoint works in the buffers until this is dropped"]
struct WithBuffers<'a> {
    endpoint: &'a mut Endpoint,
    buffers: &'a mut Buffers,
}

impl Deref for WithBuffers<'_> {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        self.endpoint
    }
}

impl DerefMut for WithBuffers<'_> {
    fn deref_mut(&mut self) -> &mut Endpoint {
        self.endpoint
    }
}

impl Drop for WithBuffers<'_> {
    fn drop(&mut self) {
        self.endpoint.inbound.give_back(&mut self.buffers.read);
        self.endpoint.outbound.output.give_back(&mut self.buffers.output);
    }
}

impl Endpoint {
    /// Lends the endpoint buffers that it shares with others, until the result is dropped. This is for an event loop
    /// with many connections: wrap each visit to a connection in one call.
    ///
    /// ```
    /// use ws_core::endpoint::{Buffers, Endpoint, Event, Next};
    /// use ws_core::{Config, Instant};
    ///
    /// let mut buffers = Buffers::new();
    /// let mut connections = [(); 3].map(|()| Endpoint::server_after_handshake(Config::new(), b""));
    /// for connection in &mut connections {
    ///     let mut ws = connection.with_buffers(&mut buffers);
    ///     let frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    ///     assert_eq!(ws.inbound.receive(frame), frame.len());
    ///     loop {
    ///         match ws.next(|| Instant::from_millis(0)) {
    ///             Next::Event(Event::Message(message)) => ws.outbound.queue(message)?,
    ///             Next::Write { mut output, .. } => {
    ///                 assert_eq!(output.chunk(), b"\x81\x05Hello"); // to be written to the stream
    ///                 output.advance(7);
    ///             }
    ///             _ => break, // there is nothing to do without waiting
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Bytes that were read into [`read_buf`](super::Inbound::read_buf) are lost unless
    /// [`filled`](super::Inbound::filled) reports them before the result is dropped. As long as a message of more than
    /// 4 KiB is incomplete, it is put together in memory of its own.
    pub fn with_buffers<'a>(
        &'a mut self,
        buffers: &'a mut Buffers,
    ) -> impl DerefMut<Target = Self> + fmt::Debug {
        self.inbound.lend_buffer(&mut buffers.read);
        self.outbound.output.lend(&mut buffers.output);
        WithBuffers { endpoint: self, buffers }
    }
}
