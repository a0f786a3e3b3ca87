#![cfg(feature = "rustls")]
mod common;
#[path = "common/tls.rs"]
mod tls;
use common::*;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tls::*;
use ws_std::ws_core::Endpoint;
use ws_std::{Config, TlsStream, Transport, WebSocket};

/// A stream whose peer takes so many bytes more, and then none.
#[derive(Debug, Clone)]
struct Full {
    stream: Arc<TcpStream>,
    room: Arc<AtomicUsize>,
    timeout: Arc<Mutex<Option<Duration>>>,
}
impl Read for Full {
    fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(b)
    }
}
impl Write for Full {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        let room = self.room.load(SeqCst);
        if room == 0 {
            match *self.timeout.lock().unwrap() {
                Some(t) => {
                    println!("write of {} blocks for {t:?}", b.len());
                    thread::sleep(t);
                    return Err(ErrorKind::WouldBlock.into());
                }
                None => {
                    println!("write of {} blocks for ever", b.len());
                    thread::sleep(Duration::from_secs(20));
                    return Err(ErrorKind::BrokenPipe.into());
                }
            }
        }
        let n = (&*self.stream).write(&b[..b.len().min(room)])?;
        self.room.fetch_sub(n, SeqCst);
        println!("wrote {n}");
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Transport for Full {
    fn set_read_timeout(&self, t: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(t)
    }
    fn set_write_timeout(&self, t: Option<Duration>) -> io::Result<()> {
        *self.timeout.lock().unwrap() = t;
        Ok(())
    }
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}
fn go(split: bool, room: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = RawTls::client(listener.local_addr().unwrap());
    let full = Full {
        stream: Arc::new(accept(&listener).stream),
        room: Arc::new(AtomicUsize::new(usize::MAX)),
        timeout: Arc::default(),
    };
    let near = full.clone();
    let server = thread::spawn(move || {
        TlsStream::server(near, Arc::new(server_config("server")), Some(LONG)).unwrap()
    });
    client.handshake().unwrap();
    let tls = finish(server);
    let mut ws =
        WebSocket::from_endpoint(Endpoint::server_after_handshake(Config::new(), b""), tls);
    client.write(b"\x88\x82\0\0\0\0\x03\xe8");
    full.room.store(room, SeqCst);
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let t = Instant::now();
        if split {
            let (mut r, w) = ws.split().unwrap();
            println!("{:?}", r.read().map(|m| m.is_some()));
            println!("read took {:?}", t.elapsed());
            drop(w);
            drop(r);
        } else {
            println!("{:?}", ws.read().map(|m| m.is_some()));
            println!("read took {:?}", t.elapsed());
            drop(ws);
        }
        let _ = done.send(t.elapsed());
    });
    let took = wait.recv_timeout(Duration::from_secs(12));
    println!("split {split} room {room}: {took:?}");
    assert!(took.is_ok());
}
#[test]
fn whole_after_close() {
    go(false, 26);
}
#[test]
fn whole_before_close() {
    go(false, 0);
}
#[test]
fn split_after_close() {
    go(true, 26);
}
#[test]
fn split_before_close() {
    go(true, 0);
}
