//! A hub: connections that receive each other's messages.
//!
//! Nothing else in this crate depends on this module. It uses the public interface only, with one exception,
//! `Reader::read_deferring_close`: when a listener shuts down, the hub writes a member's queue before the Close frame.
//! Apart from that, an application could have its own hub.

#[cfg(all(test, shuttle))]
mod schedules;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ws_core::endpoint::Request;

use crate::sync::shared::{Condvar, Mutex, MutexGuard, lock, thread, wait};
use crate::{
    CloseCode, CloseInfo, Error, Message, PreparedMessage, Reader, Result, Stream, Transport,
    WebSocket, Writer,
};

/// The stack size of a thread that writes, in bytes.
const STACK: usize = 128 * 1024;
/// How long the queue of a member that is being closed may take to be written.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// A group of connections that receive each other's messages: a chat, a ticker, or a page that several people edit.
///
/// Each member has a bounded queue, and a thread that writes it. [`join`](Self::join) starts the thread, which ends
/// when the member leaves. A broadcast encodes the message once, adds it to the queues, and never waits: no lock is
/// held while anything is written. All members receive the messages in the same order.
///
/// A member whose queue is full is too slow. It leaves the hub at once, its queue is dropped, and its connection is
/// closed with [`CloseCode::TRY_AGAIN_LATER`] (1013).
///
/// If permessage-deflate was agreed on, a message is compressed once for all members that have the same window and no
/// context takeover. For each other member, that member's thread compresses it. The limits of a queue count
/// uncompressed bytes. If `set_compression` turned compression off for a socket before it joined, its messages are sent
/// uncompressed. A hub compresses either all messages to a member or none. Do not send secrets through one that
/// compresses; the module `deflate` explains why.
///
/// When the listener is [shut down](crate::ListenerHandle::shutdown), each member leaves the hub too. Its queue is
/// still written before its Close frame (1001), within half of the remaining time and at most five seconds.
///
/// A hub is [`Send`] and [`Sync`], and a clone is another handle of the same hub.
///
/// ```no_run
/// let hub = ws_std::Hub::new();
/// for incoming in ws_std::listen("127.0.0.1:9001")? {
///     let hub = hub.clone();
///     std::thread::spawn(move || -> ws_std::Result<()> {
///         let mut member = hub.join(incoming?.accept()?)?;
///         while let Some(message) = member.read()? {
///             hub.broadcast_except(member.id(), message);
///         }
///         Ok(())
///     });
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<HubState>,
}

#[derive(Debug)]
struct HubState {
    members: Mutex<Members>,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Members {
    last: u64,
    queues: BTreeMap<MemberId, Arc<Queue>>,
}

/// The unique number of a [`Member`] in its [`Hub`]. It is never used again, and reveals nothing about the person
/// behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

impl MemberId {
    /// Returns the number, for use in a protocol of the application.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Hub {
    /// Returns a hub whose queues hold up to 1,024 messages and 1 MiB, whichever is reached first.
    pub fn new() -> Self {
        Self::with_limits(1024, 1 << 20)
    }

    /// Returns a hub with these limits for the queue of each member. A message that is larger than `max_bytes` is
    /// queued only if nothing else is waiting.
    pub fn with_limits(max_messages: usize, max_bytes: usize) -> Self {
        Self { shared: Arc::new(HubState { members: Mutex::default(), max_messages, max_bytes }) }
    }

    /// Adds a connection. It receives what is broadcast from now on, until the [`Member`] is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the stream has no second handle, or if the system cannot start a thread.
    pub fn join<T>(&self, ws: WebSocket<T>) -> Result<Member<T>>
    where
        T: Transport + Send + 'static,
    {
        let request = ws.request().cloned();
        let (reader, writer) = ws.split()?;
        let queue = Arc::new(Queue::new(writer.clone()));
        let id = {
            let mut members = self.shared.members();
            members.last = members.last.saturating_add(1);
            let id = MemberId(members.last);
            members.queues.insert(id, queue.clone());
            id
        };
        let member = Member { id, reader, request, queue: queue.clone(), hub: self.clone() };
        let hub = self.clone();
        thread::Builder::new()
            .name(format!("hub {id}"))
            .stack_size(STACK)
            .spawn(move || hub.write(id, &queue, &writer))?;
        Ok(member)
    }

    /// Sends a message to all members. Returns the number of members for which it was queued. A member whose queue is
    /// full does not count, and leaves the hub.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        self.broadcast_where(|_| true, message)
    }

    /// Sends a message to all members but one, such as its sender. Returns the number of members for which it was
    /// queued, like [`broadcast`](Self::broadcast).
    pub fn broadcast_except(&self, id: MemberId, message: impl Into<Message>) -> usize {
        self.broadcast_where(|member| member != id, message)
    }

    /// Sends a message to the members for which `choose` returns `true`, such as those of a room. Returns the number of
    /// members for which it was queued, like [`broadcast`](Self::broadcast).
    ///
    /// `choose` runs while the hub is locked, so it must not call the hub.
    pub fn broadcast_where(
        &self,
        mut choose: impl FnMut(MemberId) -> bool,
        message: impl Into<Message>,
    ) -> usize {
        let message = PreparedMessage::new(&message.into());
        let mut members = self.shared.members();
        let mut count = 0_usize;
        members.queues.retain(|id, queue| {
            if !choose(*id) {
                return true;
            }
            let taken = queue.push(&message, &self.shared);
            count = count.saturating_add(usize::from(taken));
            taken
        });
        count
    }

    /// Sends a message to one member. Returns `false` if it is no longer a member, or leaves because its queue is full.
    pub fn send_to(&self, id: MemberId, message: impl Into<Message>) -> bool {
        let message = PreparedMessage::new(&message.into());
        let mut members = self.shared.members();
        let Some(queue) = members.queues.get(&id) else { return false };
        let taken = queue.push(&message, &self.shared);
        if !taken {
            members.queues.remove(&id);
        }
        taken
    }

    /// Closes one member's connection once its queue is written, or after five seconds. Returns whether it was
    /// still a member.
    ///
    /// If the code or the reason cannot be sent, the Close frame has [`CloseCode::INTERNAL_ERROR`] (1011) instead.
    ///
    /// The connection ends when the queue's five seconds and [`Config::close_timeout`](crate::Config::close_timeout)
    /// (five seconds if that is not set) have passed, even if the peer still accepts output.
    pub fn start_close(&self, id: MemberId, code: impl Into<CloseCode>, reason: &str) -> bool {
        let code = code.into();
        let queue = self.shared.members().queues.remove(&id);
        if let Some(queue) = &queue {
            let busy = queue.backlog().bytes > 0;
            // Pongs may be waiting too, which the hub does not know about.
            queue.connection.end_within(QUEUE_TIMEOUT);
            queue.end(End::Close(code, reason.to_owned()));
            // In `conformance/schedules` a sleep takes no time, so this would close the connection before its queue is written.
            if busy && !cfg!(shuttle) {
                queue.close_later(code, reason.to_owned());
            }
        }
        queue.is_some()
    }

    /// Returns the members in the order in which they joined.
    pub fn members(&self) -> Vec<MemberId> {
        self.shared.members().queues.keys().copied().collect()
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.shared.members().queues.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the queue of one member, until the member leaves or its connection fails.
    fn write<T: Transport>(&self, id: MemberId, queue: &Queue, writer: &Writer<T>) {
        let mut written = 0;
        while let Some(batch) = queue.next(written) {
            written = batch.iter().map(|message| message.frame().len()).sum();
            if writer.send_prepared_batch(&batch).is_err() {
                // The stream accepts nothing. The reader sees the connection end.
                self.shared.members().queues.remove(&id);
                queue.too_slow();
                break;
            }
        }
        let end = std::mem::replace(&mut queue.backlog().end, End::Left);
        let _ = match end {
            End::Close(code, reason) => match writer.start_close(code, &reason) {
                // The code or the reason cannot be sent, but the connection has to end.
                Err(Error::Send(_)) => writer.start_close(CloseCode::INTERNAL_ERROR, ""),
                result => result,
            },
            End::TooSlow => writer.flush(),
            End::No | End::Left => Ok(()),
        };
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl HubState {
    fn members(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }
}

/// The queue of one member.
struct Queue {
    backlog: Mutex<Backlog>,
    changed: Condvar,
    connection: Box<dyn Connection>,
}

/// What a queue needs of its connection, whatever the type of the stream.
trait Connection: Send + Sync {
    /// Like [`Writer::queue_close`]. If it fails, the connection is already closing.
    fn queue_close(&self, code: CloseCode, reason: &str);

    /// Like [`Writer::end_within`].
    fn end_within(&self, time: Duration);

    /// Like [`Writer::ping`].
    fn ping(&self, payload: &[u8]) -> Result<()>;

    /// Like [`Writer::pong`].
    fn pong(&self, payload: &[u8]) -> Result<()>;
}

impl<T: Transport + Send> Connection for Writer<T> {
    fn queue_close(&self, code: CloseCode, reason: &str) {
        let _ = Writer::queue_close(self, code, reason);
    }

    fn end_within(&self, time: Duration) {
        Writer::end_within(self, time);
    }

    fn ping(&self, payload: &[u8]) -> Result<()> {
        Writer::ping(self, payload)
    }

    fn pong(&self, payload: &[u8]) -> Result<()> {
        Writer::pong(self, payload)
    }
}

#[derive(Debug)]
struct Backlog {
    messages: VecDeque<PreparedMessage>,
    /// The bytes of the waiting messages, and of those that are being written.
    bytes: usize,
    end: End,
}

#[derive(Debug)]
enum End {
    No,
    /// Close when everything is written.
    Close(CloseCode, String),
    TooSlow,
    Left,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backlog.fmt(f)
    }
}

impl Queue {
    fn new<T: Transport + Send + 'static>(writer: Writer<T>) -> Self {
        let backlog = Backlog { messages: VecDeque::new(), bytes: 0, end: End::No };
        Self { backlog: Mutex::new(backlog), changed: Condvar::new(), connection: Box::new(writer) }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        lock(&self.backlog)
    }

    /// Adds a message. Returns whether it was added; if not, the member has left.
    fn push(&self, message: &PreparedMessage, limits: &HubState) -> bool {
        let mut backlog = self.backlog();
        if !matches!(backlog.end, End::No) {
            return false;
        }
        let bytes = backlog.bytes.saturating_add(message.frame().len());
        let full = backlog.messages.len() >= limits.max_messages || bytes > limits.max_bytes;
        if full && backlog.bytes > 0 {
            drop(backlog);
            self.too_slow();
            return false;
        }
        backlog.bytes = bytes;
        backlog.messages.push_back(message.clone());
        self.changed.notify_one();
        true
    }

    /// Starts the closing handshake after a time limit, even if the peer does not accept the queue.
    fn close_later(self: &Arc<Self>, code: CloseCode, reason: String) {
        let queue = Arc::downgrade(self);
        // If no thread can be started, only the write time-out limits it.
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            thread::sleep(QUEUE_TIMEOUT);
            if let Some(queue) = queue.upgrade() {
                queue.connection.queue_close(code, &reason);
                // This has no effect if the first call has worked.
                queue.connection.queue_close(CloseCode::INTERNAL_ERROR, "");
            }
        });
    }

    fn is_out(&self) -> bool {
        !matches!(self.backlog().end, End::No)
    }

    /// The Close frame is queued first, because the thread that writes it may see the end at once.
    fn too_slow(&self) {
        self.connection.queue_close(CloseCode::TRY_AGAIN_LATER, "too slow");
        self.connection.end_within(Duration::ZERO);
        self.end(End::TooSlow);
    }

    /// Sets how the membership ends. Only the first call counts.
    fn end(&self, end: End) {
        let mut backlog = self.backlog();
        if matches!(backlog.end, End::No) {
            if !matches!(end, End::Close(..)) {
                backlog.messages.clear();
            }
            backlog.end = end;
        }
        self.changed.notify_one();
    }

    /// Waits for messages to write, and returns `None` at the end. `written` is the size of those that were written
    /// just now.
    fn next(&self, written: usize) -> Option<VecDeque<PreparedMessage>> {
        let mut backlog = self.backlog();
        backlog.bytes = backlog.bytes.saturating_sub(written);
        loop {
            if !backlog.messages.is_empty() {
                return Some(std::mem::take(&mut backlog.messages));
            }
            if !matches!(backlog.end, End::No) {
                return None;
            }
            backlog = wait(&self.changed, backlog);
        }
    }
}

/// A connection in a [`Hub`], with its receiving half.
///
/// When the member is dropped, it leaves the hub, and its connection is closed as by a dropped [`Reader`] (with 1011 if
/// its thread panics), which may wait for the peer.
#[derive(Debug)]
#[must_use = "the connection leaves the hub and is closed when this is dropped"]
pub struct Member<T: Transport = Stream> {
    id: MemberId,
    reader: Reader<T>,
    request: Option<Request>,
    queue: Arc<Queue>,
    hub: Hub,
}

impl<T: Transport> Member<T> {
    /// Returns the number of this member in the hub.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Returns the hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns the client's request, or `None` on a client.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Returns the stream, for its addresses and options: `member.stream().get_ref().peer_addr()` on a server's
    /// connection.
    pub fn stream(&self) -> &T {
        self.reader.stream()
    }

    /// Sends a message to this member alone, like [`Hub::send_to`]. Returns whether it is still in the hub.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.hub.send_to(self.id, message)
    }

    /// Waits for the next message, like [`WebSocket::read`].
    ///
    /// Once the member has left the hub, because it was closed or too slow, its messages are dropped, so that a peer
    /// that does not read cannot go on sending.
    ///
    /// # Errors
    ///
    /// The same as for [`WebSocket::read`].
    pub fn read(&mut self) -> Result<Option<Message>> {
        self.read_by(true, Reader::read_deferring_close)
    }

    /// Returns the next message if it has arrived, without waiting, like [`WebSocket::try_read`].
    ///
    /// # Errors
    ///
    /// The same as for [`WebSocket::try_read`].
    pub fn try_read(&mut self) -> Result<Option<Message>> {
        self.read_by(false, Reader::try_read_deferring_close)
    }

    fn read_by(
        &mut self,
        waits: bool,
        read: impl Fn(&mut Reader<T>, &dyn Fn() -> bool) -> Result<Option<Message>>,
    ) -> Result<Option<Message>> {
        let Self { id, reader, queue, hub, .. } = self;
        let defer_close = || {
            hub.shared.members().queues.remove(id);
            queue.end(End::Close(CloseCode::GOING_AWAY, String::new()));
            true
        };
        loop {
            match read(reader, &defer_close)? {
                Some(_) if queue.is_out() && waits => {}
                Some(_) if queue.is_out() => return Ok(None),
                result => return Ok(result),
            }
        }
    }

    /// Sends a Ping to this member, ahead of the messages in its queue, like [`WebSocket::ping`].
    ///
    /// # Errors
    ///
    /// The same as for [`WebSocket::send`].
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.queue.connection.ping(payload)
    }

    /// Sends an unsolicited Pong to this member, ahead of the messages in its queue, like [`WebSocket::pong`].
    ///
    /// # Errors
    ///
    /// The same as for [`WebSocket::send`].
    pub fn pong(&self, payload: &[u8]) -> Result<()> {
        self.queue.connection.pong(payload)
    }

    /// Sets a function that is called with the payload of each Pong, like [`WebSocket::on_pong`].
    pub fn on_pong(&mut self, hook: impl FnMut(&[u8]) + Send + Sync + 'static) {
        self.reader.on_pong(hook);
    }

    /// Leaves the hub, closes the connection once its queue is written, like [`Hub::start_close`], and waits until the
    /// peer has answered and has ended the stream. Messages that still arrive are dropped.
    ///
    /// # Errors
    ///
    /// The same as for [`read`](Self::read).
    pub fn close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<CloseInfo> {
        self.hub.start_close(self.id, code, reason);
        self.reader.set_read_timeout(None);
        while self.read()?.is_some() {}
        // This call waits for the end of the stream.
        self.read()?;
        Ok(self.close_info().unwrap_or_else(CloseInfo::abnormal))
    }

    /// Returns how the connection ended, like [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.reader.close_info()
    }
}

impl<T: Transport> Drop for Member<T> {
    fn drop(&mut self) {
        self.hub.shared.members().queues.remove(&self.id);
        self.queue.end(End::Left);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_1024_messages_and_1_mib_by_default() {
        let HubState { max_messages, max_bytes, .. } = &*Hub::new().shared;
        assert_eq!((*max_messages, *max_bytes), (1024, 1 << 20));
    }
}
