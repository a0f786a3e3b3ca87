use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::registry::Place;
use crate::transport::Transport;

/// When a connection of a listener that shuts down is looked at again, at first; then later each time,
/// as there can be thousands.
const LOOK: Duration = Duration::from_millis(5);
/// At the latest.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// A TCP connection, whose handles share one file descriptor.
///
/// It is a [`TcpStream`] to look at. To read from it or write to it breaks the WebSocket.
#[derive(Clone, Debug)]
pub struct Tcp {
    stream: Arc<TcpStream>,
    /// Of a listener's connection.
    place: Option<Arc<Place>>,
    look: Duration,
}

impl Tcp {
    pub(crate) fn new(stream: Arc<TcpStream>, place: Arc<Place>) -> Self {
        Self { stream, place: Some(place), look: LOOK }
    }
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self { stream: Arc::new(stream), place: None, look: LOOK }
    }
}

impl Deref for Tcp {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&*self.stream).read(buffer)?;
        // A listener that shuts down wakes its readers by an end of the stream. It is not the peer's, whose
        // answer to the Close frame can still come.
        if count == 0 && self.place.as_ref().is_some_and(|place| place.is_woken()) {
            thread::sleep(self.look);
            self.look = self.look.mul_f32(1.5).min(LAST_LOOK);
            return Err(ErrorKind::TimedOut.into());
        }
        self.look = LOOK;
        Ok(count)
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.stream).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.stream).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Tcp {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}
