//! Connecting over TCP: resolving a name, and the race between several addresses (RFC 8305).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Deadline, Error, Result};
use crate::url::Host;

/// How long to wait for an attempt before the next address is tried as well (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The most addresses that an error lists.
const LISTED: usize = 8;

/// Connects to a port of a host before a deadline, and sets TCP_NODELAY.
pub(crate) fn dial(host: Host<'_>, port: u16, deadline: Option<Instant>) -> Result<TcpStream> {
    let addresses = match host.numeric(port) {
        Some(address) => vec![address],
        None => resolve(host.to_string(), port, deadline)?,
    };
    let stream = race(interleave(addresses), deadline, |address, left| match left {
        None => TcpStream::connect(address),
        Some(left) => TcpStream::connect_timeout(&address, left),
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Host<'_> {
    /// Returns the address, if no lookup is needed.
    fn numeric(&self, port: u16) -> Option<SocketAddr> {
        match self.zone {
            None => Some(SocketAddr::new(self.name.parse::<IpAddr>().ok()?, port)),
            Some(zone) => {
                let address = self.name.parse::<Ipv6Addr>().ok()?;
                Some(SocketAddrV6::new(address, port, 0, zone.parse().ok()?).into())
            }
        }
    }
}

/// Resolves a name, or an IPv6 address with the name of its zone.
fn resolve(name: String, port: u16, deadline: Option<Instant>) -> Result<Vec<SocketAddr>> {
    let query = name.clone();
    let lookup = move || Ok((&*query, port).to_socket_addrs()?.collect::<Vec<_>>());
    match bounded(deadline, lookup)? {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => {
            let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(Error::Resolve { name, error })
        }
        Err(error) => Err(Error::Resolve { name, error }),
    }
}

/// Makes a call that cannot be interrupted. If there is a deadline, a thread makes the call, and this function does not
/// wait for it after the deadline.
fn bounded<T: Send + 'static>(
    deadline: Option<Instant>,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let Some(deadline) = deadline else { return Ok(call()) };
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let _ = sender.send(call());
    })?;
    receiver.recv_timeout(left(deadline)).map_err(|_| LATE)
}

const LATE: Error = Error::Timeout(Deadline::Handshake);

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Returns whether a name that could not be resolved may be resolved later.
///
/// `std` exposes only the text of the error of `getaddrinfo`, not its code. Without a network, many systems report that
/// any name is unknown. glibc and musl do not, so this function trusts them if they report that a name does not exist.
pub(crate) fn may_resolve_later(error: &io::Error) -> bool {
    let text = error.to_string();
    let permanent = [
        "Name or service not known",
        "Name does not resolve",
        "No address associated with hostname",
    ];
    !(cfg!(target_os = "linux") && permanent.iter().any(|permanent| text.ends_with(permanent)))
}

/// Sorts addresses so that the families alternate, beginning with the family of the resolver's first address (RFC 8305
/// §4). Within each family the resolver's order stays. Repeated addresses are removed.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        for address in pair.into_iter().flatten() {
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
}

/// Tries the addresses until an attempt succeeds. The next attempt begins when one has failed, or 250 milliseconds
/// after the previous one, which continues (RFC 8305 §5).
///
/// If there are several addresses, each attempt has its own thread, which ends with the attempt. Only the first success
/// is returned; later ones are dropped.
fn race<T: Send + 'static>(
    addresses: Vec<SocketAddr>,
    deadline: Option<Instant>,
    attempt: impl Fn(SocketAddr, Option<Duration>) -> io::Result<T> + Clone + Send + 'static,
) -> Result<T> {
    let attempt = move |address| match deadline.map(left) {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        left => attempt(address, left),
    };
    let mut failures = Failures(Vec::new());
    let mut rest = addresses.into_iter();
    if rest.len() == 1 {
        for address in rest.by_ref() {
            match attempt(address) {
                Ok(stream) => return Ok(stream),
                Err(error) => failures.0.push((address, error)),
            }
        }
    }
    let (sender, receiver) = mpsc::channel();
    let mut running = 0_usize;
    loop {
        if deadline.is_some_and(|deadline| left(deadline).is_zero()) {
            return Err(LATE);
        }
        if let Some(address) = rest.next() {
            let (attempt, sender) = (attempt.clone(), sender.clone());
            let thread = thread::Builder::new().spawn(move || {
                // This fails if another attempt was the first to succeed.
                let _ = sender.send((address, attempt(address)));
            });
            match thread {
                Ok(_) => running = running.saturating_add(1),
                Err(error) => {
                    failures.0.push((address, error));
                    continue;
                }
            }
        } else if running == 0 {
            return Err(failures.into());
        }
        let delay = (rest.len() > 0).then_some(ATTEMPT_DELAY);
        let outcome = match delay.into_iter().chain(deadline.map(left)).min() {
            Some(wait) => receiver.recv_timeout(wait),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match outcome {
            Ok((_, Ok(stream))) => return Ok(stream),
            Ok((address, Err(error))) => {
                running = running.saturating_sub(1);
                failures.0.push((address, error));
            }
            // It is time for the next address, or the deadline has passed.
            Err(_) => {}
        }
    }
}

/// The addresses for which the attempts failed, with the errors.
#[derive(Debug)]
struct Failures(Vec<(SocketAddr, io::Error)>);

impl From<Failures> for Error {
    fn from(failures: Failures) -> Self {
        let kind = failures.0.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        Self::Io(io::Error::new(kind, failures.to_string()))
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (address, error)) in self.0.iter().take(LISTED).enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{address}: {error}")?;
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Longer than anything here takes, unless it hangs.
    const LONG: Duration = Duration::from_secs(60);

    fn until(time: Duration) -> Option<Instant> {
        Some(Instant::now() + time)
    }

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, number], 1))
    }

    /// Connects over TCP, as `dial` does.
    fn connect(addresses: &[SocketAddr], deadline: Option<Instant>) -> Result<TcpStream> {
        race(addresses.to_vec(), deadline, |address, left| match left {
            None => TcpStream::connect(address),
            Some(left) => TcpStream::connect_timeout(&address, left),
        })
    }

    fn listen() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    /// Returns an address on which nobody listens.
    fn closed() -> SocketAddr {
        listen().0
    }

    /// Returns an address that does not answer, because its queue is full with the one connection that this also
    /// returns.
    #[cfg(target_os = "linux")]
    fn silent() -> (SocketAddr, TcpListener, TcpStream) {
        let (address, listener) = listen();
        rustix::net::listen(&listener, 0).unwrap();
        let queued = TcpStream::connect(address).unwrap();
        (address, listener, queued)
    }

    // RFC 8305 §4
    #[test]
    fn families_take_turns_and_the_first_of_the_resolver_comes_first() {
        let all = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (four, six) = (["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"], ["[::1]:1", "[::2]:1"]);
        let by_turns = all(&[four[0], six[0], four[1], six[1], four[2]]);
        assert_eq!(interleave(all(&[&four[..], &six].concat())), by_turns);
        let by_turns = all(&[six[0], four[0], six[1], four[1], four[2]]);
        assert_eq!(interleave(all(&[&six[..], &four].concat())), by_turns);
        assert_eq!(interleave(all(&four)), all(&four));
        assert_eq!(interleave(all(&[six[0], four[0], six[0], four[0]])), all(&[six[0], four[0]]));
        assert_eq!(interleave(Vec::new()), []);
    }

    #[test]
    fn a_single_address_needs_no_thread() {
        let here = thread::current().id();
        let attempt = move |_, _| {
            assert_eq!(thread::current().id(), here);
            Ok(())
        };
        race(vec![address(1)], until(LONG), attempt).unwrap();
        let several = race(vec![address(1), address(2)], None, |_, _| Ok(thread::current().id()));
        assert_ne!(several.unwrap(), here);
    }

    // RFC 8305 §5
    #[test]
    fn an_attempt_that_fails_is_followed_at_once() {
        let attempt = |at: SocketAddr, _| match at.ip() == address(100).ip() {
            true => Ok(at),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let begun = Instant::now();
        let addresses = (1..=100).map(address).collect();
        assert_eq!(race(addresses, until(LONG), attempt).unwrap(), address(100));
        assert!(begun.elapsed() < ATTEMPT_DELAY * 50, "{:?}", begun.elapsed());
    }

    // RFC 8305 §5
    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_that_is_silent_is_followed_after_250_milliseconds() {
        let (silent, hanging, queued) = silent();
        let (live, _listener) = listen();
        for deadline in [None, until(LONG)] {
            let begun = Instant::now();
            let stream = connect(&[silent, live], deadline).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), live);
            assert!(begun.elapsed() >= ATTEMPT_DELAY, "{:?}", begun.elapsed());
        }
        // The attempts that continued succeed only now, and are closed because nobody needs them.
        drop(queued);
        for _ in 0..3 {
            let mut accepted = hanging.accept().unwrap().0;
            accepted.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
        }
    }

    // RFC 8305 §5
    #[cfg(target_os = "linux")]
    #[test]
    fn the_first_attempt_goes_on_while_others_fail() {
        let (silent, hanging, _queued) = silent();
        let attempt = thread::spawn(move || connect(&[silent, closed()], until(LONG)));
        thread::sleep(ATTEMPT_DELAY);
        let _accepted = hanging.accept().unwrap();
        let stream = attempt.join().unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), silent);
    }

    #[test]
    fn the_next_waits_for_the_one_before_unless_it_fails() {
        let begun = Instant::now();
        let times = Arc::new(Mutex::new(Vec::new()));
        let log = times.clone();
        let attempt = move |at: SocketAddr, _| {
            log.lock().unwrap().push((at, begun.elapsed()));
            // The first attempt hangs, the second fails at once, and the third succeeds after a fourth has begun.
            match at {
                _ if at == address(1) => thread::sleep(LONG),
                _ if at == address(2) => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ => {}
            }
            while log.lock().unwrap().len() < 4 {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(if at == address(3) { Duration::ZERO } else { LONG });
            Ok(at)
        };
        let addresses = (1..=4).map(address).collect();
        assert_eq!(race(addresses, until(LONG), attempt).unwrap(), address(3));
        let times = times.lock().unwrap().clone();
        assert_eq!(times.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2, 3, 4].map(address));
        assert!(times[1].1 >= ATTEMPT_DELAY && times[3].1 >= ATTEMPT_DELAY * 2, "{times:?}");
    }

    #[test]
    fn when_all_fail_each_address_is_listed_up_to_a_bound() {
        let (one, other) = (closed(), closed());
        let refused = |address| match connect(&[address], None) {
            Err(Error::Io(error)) => error.to_string(),
            result => panic!("{result:?}"),
        };
        assert!(refused(one).starts_with(&format!("{one}: ")), "{}", refused(one));
        let Err(Error::Io(error)) = connect(&[one, other], until(LONG)) else { panic!() };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), format!("{}; {}", refused(one), refused(other)));
        let Err(Error::Io(error)) = connect(&[one; 11], until(LONG)) else { panic!() };
        assert_eq!(error.to_string(), format!("{}; and 3 more", [&*refused(one); 8].join("; ")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_deadline_bounds_all_attempts_together() {
        let (first, _listener, _queued) = silent();
        let (second, _listener2, _queued2) = silent();
        for addresses in [vec![first], vec![first, second, closed()]] {
            let begun = Instant::now();
            let time = Duration::from_millis(400);
            let result = connect(&addresses, until(time));
            assert!(matches!(result, Err(Error::Timeout(Deadline::Handshake))), "{result:?}");
            assert!(begun.elapsed() >= time, "{:?}", begun.elapsed());
        }
        let result = connect(&[first, second], until(Duration::ZERO));
        assert!(matches!(result, Err(Error::Timeout(Deadline::Handshake))), "{result:?}");
    }

    #[test]
    fn a_lookup_that_hangs_ends_at_the_deadline() {
        let time = Duration::from_millis(100);
        let begun = Instant::now();
        let result = bounded(until(time), || thread::sleep(LONG));
        assert!(matches!(result, Err(Error::Timeout(Deadline::Handshake))), "{result:?}");
        assert!(begun.elapsed() >= time && begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
        // Without a deadline no thread is needed.
        let here = thread::current().id();
        assert_eq!(bounded(None, || thread::current().id()).unwrap(), here);
        assert_ne!(bounded(until(LONG), || thread::current().id()).unwrap(), here);
    }

    #[test]
    fn a_zone_is_a_number_or_the_name_of_an_interface() {
        let host = |zone| Host { name: "fe80::1", zone: Some(zone) };
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 7);
        assert_eq!(host("7").numeric(80), Some(expected.into()));
        assert_eq!(host("eth0").numeric(80), None);
        #[cfg(target_os = "linux")]
        {
            let found = resolve(host("lo").to_string(), 80, None).unwrap();
            let SocketAddr::V6(found) = found[0] else { panic!("{found:?}") };
            assert_eq!((found.scope_id(), found.port()), (1, 80));
        }
        let result = resolve(host("nosuch0").to_string(), 80, None);
        let Err(Error::Resolve { name, .. }) = result else { panic!("{result:?}") };
        assert_eq!(name, "fe80::1%nosuch0");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_name_that_does_not_exist_is_permanent() {
        for (text, later) in [
            ("failed to lookup address information: Name or service not known", false),
            ("failed to lookup address information: Name does not resolve", false),
            ("failed to lookup address information: No address associated with hostname", false),
            ("failed to lookup address information: Temporary failure in name resolution", true),
            ("failed to lookup address information: Try again", true),
        ] {
            assert_eq!(may_resolve_later(&io::Error::other(text)), later, "{text}");
            let error = Error::Resolve { name: "h".to_owned(), error: io::Error::other(text) };
            assert_eq!(error.is_transient(), later);
            assert_eq!(
                error.to_string(),
                format!("the host name \"h\" cannot be resolved: {text}")
            );
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
        }
    }
}
