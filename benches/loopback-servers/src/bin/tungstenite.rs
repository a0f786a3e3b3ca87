//! tungstenite, with a thread for each connection. It buffers output, but does not say when there is no more
//! input. Its stream knows that.

use std::io;
use std::net::TcpStream;

use loopback_servers::Batched;
use tungstenite::{Error, Result};

fn echo(stream: TcpStream) -> Result<()> {
    let Ok(mut ws) = tungstenite::accept(Batched::new(stream)) else {
        return Err(Error::ConnectionClosed);
    };
    // Write directly to the stream, which collects.
    ws.set_config(|config| config.write_buffer_size = 0);
    loop {
        let message = ws.read()?;
        if message.is_binary() || message.is_text() {
            ws.write(message)?;
        }
    }
}

fn main() -> io::Result<()> {
    loopback_servers::serve_on_threads(|stream| drop(echo(stream)))
}
