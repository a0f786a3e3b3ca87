//! Messages that are cut into fragments while the output drains, so that control frames can be sent between the
//! fragments.
//!
//! A message longer than [`Config::max_outgoing_frame`](crate::Config::max_outgoing_frame) waits here, and so does
//! everything that is sent after it. [`Outbound`](super::Outbound) takes the next fragment when the output is
//! empty. A Close frame from the application follows the messages.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::{CloseCode, DataFrame, MessageKind};

pub(super) struct Queue {
    waiting: VecDeque<Uncut>,
    /// The number of waiting bytes: the payloads, and the memory that each of them takes besides.
    len: usize,
    /// The kind of the message of which the application will send more pieces.
    pub(super) open: Option<MessageKind>,
    /// The Close frame that follows.
    pub(super) close: Option<(CloseCode, String)>,
}

/// How much memory a message takes besides its payload, in bytes.
const COST: usize = size_of::<Uncut>();

/// A message, or a piece of one, that is not cut yet.
struct Uncut {
    /// The frame as if the message were not cut, which also says whether it ends the message.
    frame: DataFrame,
    payload: Payload,
}

/// The payload of a frame, as owned bytes.
pub(super) enum Payload {
    /// The payload of a server's frame, which can be shared.
    Shared(Bytes),
    /// The payload of a client's frame, which is masked in place.
    Masked(BytesMut),
}

/// The next frame.
pub(super) struct Fragment {
    pub(super) frame: DataFrame,
    pub(super) payload: Payload,
}

impl Queue {
    /// Returns a queue. `open` is the kind of a message of which a part was sent already.
    pub(super) const fn new(open: Option<MessageKind>) -> Self {
        Self { waiting: VecDeque::new(), len: 0, open, close: None }
    }

    /// Returns the number of waiting bytes, which is at least one if any frame is waiting. Many short messages take
    /// more memory than their payloads, so each of them counts [`COST`] bytes more.
    pub(super) fn len(&self) -> usize {
        self.len.saturating_add(usize::from(self.close.is_some()))
    }

    /// Returns whether any frame of a message is waiting.
    pub(super) fn has_messages(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, frame: DataFrame, payload: Payload) {
        self.len = self.len.saturating_add(payload.len()).saturating_add(COST);
        self.open = if frame.fin { None } else { Some(frame.kind) };
        self.waiting.push_back(Uncut { frame, payload });
    }

    /// Cuts off the next fragment, of at most `max` bytes.
    pub(super) fn cut(&mut self, max: usize) -> Option<Fragment> {
        let uncut = self.waiting.front_mut()?;
        let at = cut_at(uncut.payload.as_bytes(), uncut.frame.kind, max);
        let payload = uncut.payload.split_to(at);
        self.len = self.len.saturating_sub(at);
        let ends = uncut.payload.len() == 0;
        let frame = if ends { uncut.frame } else { uncut.frame.more() };
        let fragment = Fragment { frame, payload };
        // Only the first fragment has RSV1.
        uncut.frame = uncut.frame.compressed(false);
        if ends {
            self.len = self.len.saturating_sub(COST);
            self.waiting.pop_front();
        }
        Some(fragment)
    }
}

/// Shows lengths only, because the content may be long, and secret.
impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Payload {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Masked(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_bytes().len()
    }

    fn split_to(&mut self, at: usize) -> Self {
        match self {
            Self::Shared(bytes) => Self::Shared(bytes.split_to(at)),
            Self::Masked(bytes) => Self::Masked(bytes.split_to(at)),
        }
    }
}

/// Returns where to cut a payload. Text is cut between two characters if the limit has room for any character.
fn cut_at(payload: &[u8], kind: MessageKind, max: usize) -> usize {
    if payload.len() <= max {
        return payload.len();
    }
    if kind == MessageKind::Text && max >= 4 {
        let continues = |at: &usize| payload.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let mut places = (0..4).map(|back| max.saturating_sub(back));
        if let Some(at) = places.find(|at| !continues(at)) {
            return at;
        }
    }
    max
}
