//! What the servers share. Each server takes the address to listen on as its first argument, prints
//! `listening on ws://ADDR`, and echoes.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// If more than this waits, it is written without waiting for more, as in ws-std.
const FLUSH_THRESHOLD: usize = 64 * 1024;

/// Returns a socket that listens on the address in the first argument.
pub fn listen() -> io::Result<TcpListener> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    Ok(listener)
}

/// Serves each connection on its own thread.
pub fn serve_on_threads(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<()> {
    let listener = listen()?;
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let serve = serve.clone();
        thread::spawn(move || serve(stream));
    }
}

/// Serves each connection as a task of one thread.
pub fn serve_on_tokio<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(tokio::net::TcpStream) -> F,
) -> io::Result<()> {
    let listener = listen()?;
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

/// A stream that writes only when it has to wait for something to read, so that all answers to what came together leave with one
/// write. It is for peers that cannot say when they have nothing left to read.
pub struct Batched<S> {
    stream: S,
    unwritten: Vec<u8>,
    /// How much of it is written.
    written: usize,
}

impl<S> Batched<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, unwritten: Vec::new(), written: 0 }
    }
}

impl<S: Write> Batched<S> {
    fn write_out(&mut self) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            self.stream.write_all(&self.unwritten)?;
            self.unwritten.clear();
        }
        Ok(())
    }
}

impl<S: Read + Write> Read for Batched<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.write_out()?;
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Batched<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unwritten.len() + bytes.len() > FLUSH_THRESHOLD {
            self.write_out()?;
            if bytes.len() >= FLUSH_THRESHOLD {
                return self.stream.write(bytes);
            }
        }
        self.unwritten.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Output leaves before the next read that waits.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> Batched<S> {
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let left = &self.unwritten[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.unwritten.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Batched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending()
            && let Poll::Ready(Err(error)) = self.poll_write_out(context)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Batched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unwritten.len() + bytes.len() > FLUSH_THRESHOLD {
            ready!(self.poll_write_out(context))?;
            if bytes.len() >= FLUSH_THRESHOLD {
                return Pin::new(&mut self.stream).poll_write(context, bytes);
            }
        }
        self.unwritten.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Output leaves before the next read that waits.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
