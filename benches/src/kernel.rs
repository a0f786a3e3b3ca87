//! Memory of this thread, which takes the place of a kernel and its sockets.
//!
//! A read copies at most 64 KiB of what was loaded, and a write copies the output to a scratch buffer. Nothing else
//! happens. Neither depends on where the engine's buffer is: see [`copy`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that one read or write copies, in bytes.
pub const READ: usize = 64 * 1024;

thread_local! {
    static KERNEL: RefCell<Kernel> = RefCell::new(Kernel {
        incoming: Bytes::new(),
        at: 0,
        max: READ,
        scratch: vec![0; READ + 2 * PAGE],
        captured: None,
    });
}

const PAGE: usize = 4096;

struct Kernel {
    incoming: Bytes,
    at: usize,
    max: usize,
    scratch: Vec<u8>,
    captured: Option<Vec<u8>>,
}

impl Kernel {
    /// Returns the next bytes, for a read of up to `room` bytes.
    fn take(&mut self, room: usize) -> &[u8] {
        let len = (self.incoming.len() - self.at).min(self.max).min(room);
        self.at += len;
        &self.incoming[self.at - len..self.at]
    }
}

/// Makes these bytes available to reads, at most `max` for each of them.
pub fn load(incoming: &Bytes, max: usize) {
    KERNEL.with_borrow_mut(|kernel| {
        kernel.incoming = incoming.clone();
        (kernel.at, kernel.max) = (0, max);
    });
}

/// Returns how many bytes were loaded.
pub fn loaded() -> usize {
    KERNEL.with_borrow(|kernel| kernel.incoming.len())
}

/// Reads into `room`. Returns how many bytes there were, which is zero when everything is read.
pub fn read(room: &mut [u8]) -> usize {
    KERNEL.with_borrow_mut(|kernel| {
        let bytes = kernel.take(room.len());
        copy(bytes, &mut room[..bytes.len()]);
        bytes.len()
    })
}

/// Appends the bytes of one read to `buffer`. Returns how many there were.
pub fn read_buf(buffer: &mut BytesMut) -> usize {
    KERNEL.with_borrow_mut(|kernel| {
        let bytes = kernel.take(READ);
        buffer.reserve(bytes.len());
        bytes.chunks(STEP).for_each(|part| buffer.extend_from_slice(part));
        bytes.len()
    })
}

/// Takes written bytes.
pub fn write(bytes: &[u8]) {
    KERNEL.with_borrow_mut(|kernel| {
        for part in bytes.chunks(READ) {
            let scratch = opposite(&mut kernel.scratch, part);
            copy(part, scratch);
            std::hint::black_box(scratch);
        }
        if let Some(captured) = &mut kernel.captured {
            captured.extend_from_slice(bytes);
        }
    });
}

/// Returns what `work` writes.
pub fn capture(work: impl FnOnce()) -> Bytes {
    KERNEL.with_borrow_mut(|kernel| kernel.captured = Some(Vec::new()));
    work();
    KERNEL.with_borrow_mut(|kernel| kernel.captured.take()).unwrap_or_default().into()
}

/// Returns the part of the scratch buffer that begins half a page away from where `bytes` begin in their page.
fn opposite<'s>(scratch: &'s mut [u8], bytes: &[u8]) -> &'s mut [u8] {
    let distance = bytes.as_ptr().addr().wrapping_sub(scratch.as_ptr().addr());
    let start = distance.wrapping_add(PAGE / 2) % PAGE;
    &mut scratch[start..start + bytes.len()]
}

/// How many bytes one call copies.
const STEP: usize = 1024;

/// Copies in short steps.
///
/// For a long copy the C library may use `rep movsb`. On some processors it is more than ten times slower if source and target
/// are at nearly the same offset in their pages, which is a matter of chance in each run. So the steps are too
/// short for that instruction.
fn copy(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(STEP).zip(to.chunks_mut(STEP)) {
        to.copy_from_slice(from);
    }
}

/// The socket of this thread, for the engines that own their stream.
pub struct Socket;

impl io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(read(buffer))
    }
}

impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        KERNEL.with_borrow_mut(|kernel| {
            kernel.take(buffer.remaining()).chunks(STEP).for_each(|part| buffer.put_slice(part));
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| write(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
