//! Whatever the order in which members join, speak and leave, each one gets what it should, in order and once, and every
//! thread ends: shuttle reports those that wait for ever.
//!
//! `conformance/schedules` builds the crate with shuttle.

use std::io::{self, Read, Write};

use ws_core::Config;
use ws_core::endpoint::Endpoint;

use super::*;
use crate::schedules::{at_random, let_others_go_on, one_by_one, with_few_switches};

/// How many messages each thread broadcasts.
const EACH: u8 = 2;

/// What a member's connection has written, to a peer that has ended its own side.
#[derive(Debug, Default)]
struct Wire {
    state: Mutex<WireState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WireState {
    written: Vec<u8>,
    /// Whether writes wait.
    is_stuck: bool,
}

/// What a member got.
#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    /// Who has sent the message, and its number.
    messages: Vec<(u8, u8)>,
    close: Option<u16>,
}

impl Wire {
    fn set_stuck(&self, is_stuck: bool) {
        lock(&self.state).is_stuck = is_stuck;
        self.changed.notify_all();
    }

    /// Waits until the frames that were written are these.
    fn wait_for(&self, is_there: impl Fn(&Received) -> bool) -> Received {
        let mut state = lock(&self.state);
        loop {
            let received = received(&state.written);
            if is_there(&received) {
                return received;
            }
            state = wait(&self.changed, state);
        }
    }

    fn received(&self) -> Received {
        received(&lock(&self.state).written)
    }
}

/// The frames that were written as a whole. Nothing follows a Close frame.
fn received(written: &[u8]) -> Received {
    let mut received = Received::default();
    let mut rest = written;
    while let [first, len, tail @ ..] = rest {
        assert_eq!(received.close, None, "{written:02x?}");
        let Some((payload, tail)) = tail.split_at_checked(usize::from(*len)) else { break };
        match (first, payload) {
            (0x82, [who, number]) => received.messages.push((*who, *number)),
            (0x88, [high, low, ..]) => received.close = Some(u16::from_be_bytes([*high, *low])),
            _ => panic!("{written:02x?}"),
        }
        rest = tail;
    }
    received
}

#[derive(Clone, Debug)]
struct Pipe(Arc<Wire>);

impl Read for Pipe {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Pipe {
    /// Accepts at most three bytes at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.0.state);
        while state.is_stuck {
            state = wait(&self.0.changed, state);
        }
        let count = bytes.len().min(3);
        state.written.extend(&bytes[..count]);
        self.0.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Pipe {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}

fn join(hub: &Hub) -> (Member<Pipe>, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let member = hub.join(WebSocket::from_endpoint(endpoint, Pipe(wire.clone()))).unwrap();
    (member, wire)
}

/// A thread that broadcasts its messages.
fn speaker(hub: &Hub, who: u8) -> thread::JoinHandle<()> {
    let hub = hub.clone();
    thread::spawn(move || {
        for number in 0..EACH {
            hub.broadcast(vec![who, number]);
        }
    })
}

/// Checks that nothing is counted as waiting.
fn is_empty(queue: &Queue) {
    let backlog = queue.backlog();
    assert_eq!((backlog.messages.len(), backlog.bytes), (0, 0));
}

/// Closes a member, waits until that is written, and returns what it got.
fn close(hub: &Hub, member: Member<Pipe>, wire: &Wire) -> Received {
    assert!(hub.start_close(member.id(), CloseCode::NORMAL, ""));
    assert!(!hub.start_close(member.id(), CloseCode::NORMAL, ""));
    let received = wire.wait_for(|received| received.close.is_some());
    is_empty(&member.queue);
    drop(member);
    assert_eq!(wire.received(), received, "nothing follows");
    received
}

/// Two members stay, and one joins and leaves while two threads speak.
fn all_hear_one_order() {
    let hub = Hub::new();
    let members = [join(&hub), join(&hub)];
    let speakers = [speaker(&hub, 0), speaker(&hub, 1)];
    let visited = hub.clone();
    let guest = thread::spawn(move || {
        let_others_go_on();
        let (member, wire) = join(&visited);
        let_others_go_on();
        drop(member);
        wire
    });
    for speaker in speakers {
        speaker.join().unwrap();
    }
    let wire = guest.join().unwrap();
    assert_eq!(hub.len(), 2);
    let [all, other] = members.map(|(member, wire)| close(&hub, member, &wire));
    assert_eq!(all, other);
    assert_eq!(all.close, Some(1000));
    for who in 0..2 {
        let of_one: Vec<_> = all.messages.iter().filter(|message| message.0 == who).collect();
        assert_eq!(of_one, [&(who, 0), &(who, 1)]);
    }
    assert_eq!(all.messages.len(), usize::from(2 * EACH));
    // The guest got a part without gaps, which may be empty.
    let guest = wire.received();
    let is_part = |length| all.messages.windows(length).any(|part| part == guest.messages);
    assert!(guest.messages.is_empty() || is_part(guest.messages.len()), "{guest:?} of {all:?}");
    assert_eq!(guest.close, Some(1001));
    assert!(hub.is_empty());
}

/// A member takes nothing, so its queue of two messages overflows. Another one gets everything meanwhile.
fn a_stuck_member_is_removed_once() {
    const COUNT: u8 = 5;
    let hub = Hub::with_limits(2, 1 << 20);
    let (stuck, stuck_wire) = join(&hub);
    stuck_wire.set_stuck(true);
    let (member, wire) = join(&hub);
    let counts: Vec<_> = (0..COUNT)
        .map(|number| {
            let count = hub.broadcast(vec![0, number]);
            wire.wait_for(|received| received.messages.len() == usize::from(number) + 1);
            count
        })
        .collect();
    // It was counted until it was removed.
    let before = counts.iter().take_while(|count| **count == 2).count();
    assert!(matches!(before, 2..=4), "{counts:?}");
    assert!(counts[before..].iter().all(|count| *count == 1), "{counts:?}");
    assert_eq!(hub.members(), [member.id()]);
    assert!(!stuck.send("too late"));
    assert!(!hub.start_close(stuck.id(), CloseCode::NORMAL, ""));
    stuck_wire.set_stuck(false);
    let received = close(&hub, member, &wire);
    assert_eq!(received.messages, (0..COUNT).map(|number| (0, number)).collect::<Vec<_>>());

    // What it was being sent comes first, then why it is out.
    let received = stuck_wire.wait_for(|received| received.close.is_some());
    assert_eq!(received.close, Some(1013));
    let expected: Vec<_> =
        (0..COUNT).map(|number| (0, number)).take(received.messages.len()).collect();
    assert_eq!(received.messages, expected);
    assert!(received.messages.len() <= 2, "the rest of its queue is dropped");
    assert!(stuck.queue.backlog().messages.is_empty());
    drop(stuck);
}

/// A member leaves, is closed by another thread, and is sent to, all at once. Then nobody has the hub any more.
fn a_member_ends_once(leaves: bool) {
    let hub = Hub::new();
    let (member, wire) = join(&hub);
    let id = member.id();
    let ours = hub.clone();
    let sender = thread::spawn(move || {
        (0..EACH).filter(|number| ours.send_to(id, vec![0, *number])).collect::<Vec<_>>()
    });
    let theirs = hub.clone();
    let closer = thread::spawn(move || theirs.start_close(id, CloseCode::POLICY_VIOLATION, ""));
    drop(hub);
    let member = if leaves {
        drop(member);
        None
    } else {
        Some(member)
    };
    let sent = sender.join().unwrap();
    let was_closed = closer.join().unwrap();
    assert!(was_closed || leaves);
    let received = wire.wait_for(|received| received.close.is_some());
    let expected: Vec<_> = sent.iter().map(|number| (0, *number)).collect();
    assert!(expected.starts_with(&received.messages), "{received:?} of {expected:?}");
    match member {
        Some(member) => {
            assert_eq!((received.messages, received.close), (expected, Some(1008)));
            is_empty(&member.queue);
        }
        None => assert!(matches!(received.close, Some(1001 | 1008)), "{received:?}"),
    }
}

#[test]
fn all_members_hear_one_order() {
    at_random(all_hear_one_order);
}

#[test]
fn all_members_hear_one_order_with_few_switches() {
    with_few_switches(all_hear_one_order);
}

#[test]
fn a_member_that_is_stuck_is_removed_once() {
    at_random(a_stuck_member_is_removed_once);
}

#[test]
fn a_member_that_is_stuck_is_removed_once_with_few_switches() {
    with_few_switches(a_stuck_member_is_removed_once);
}

#[test]
fn a_member_that_is_closed_gets_everything_before() {
    at_random(|| a_member_ends_once(false));
    one_by_one(|| a_member_ends_once(false));
}

#[test]
fn a_member_that_leaves_ends_once() {
    at_random(|| a_member_ends_once(true));
    with_few_switches(|| a_member_ends_once(true));
}
