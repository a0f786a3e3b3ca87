//! ws-std, in the ways that its documentation shows: `blocking ADDR lending|deflate|owned|split|hub`.

use std::error::Error;
use std::iter::once;
use std::sync::mpsc::sync_channel;
use std::thread;

use ws_std::deflate::Compression;
use ws_std::{Hub, Listener, Result, WebSocket};

fn lending(mut ws: WebSocket) -> Result<()> {
    while let Some((message, mut replier)) = ws.read_ref()? {
        replier.queue(message)?;
    }
    Ok(())
}

fn owned(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.read()? {
        ws.queue(message)?;
    }
    Ok(())
}

/// One thread reads, and another writes everything that it finds at once.
fn split(ws: WebSocket) -> Result<()> {
    let (mut reader, writer) = ws.split()?;
    let (sender, receiver) = sync_channel(64);
    thread::spawn(move || {
        while let Ok(first) = receiver.recv() {
            if writer.send_batch(once(first).chain(receiver.try_iter().take(63))).is_err() {
                break;
            }
        }
    });
    while let Some(message) = reader.read()? {
        if sender.send(message).is_err() {
            break;
        }
    }
    Ok(())
}

fn hub(hub: &Hub, ws: WebSocket) -> Result<()> {
    let mut member = hub.join(ws)?;
    while let Some(message) = member.read()? {
        hub.broadcast(message);
    }
    Ok(())
}

fn serve(
    listener: Listener,
    echo: impl Fn(WebSocket) -> Result<()> + Clone + Send + 'static,
) -> Result<()> {
    for incoming in listener {
        let (incoming, echo) = (incoming?, echo.clone());
        thread::spawn(move || incoming.accept().and_then(echo));
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let what = std::env::args().nth(2);
    let mut builder = Listener::builder();
    if what.as_deref() == Some("deflate") {
        builder = builder.deflate(Compression::default());
    }
    let listener = builder.listen_on(loopback_servers::listen()?);
    match what.as_deref() {
        Some("owned") => serve(listener, owned)?,
        Some("split") => serve(listener, split)?,
        Some("hub") => {
            let all = Hub::new();
            serve(listener, move |ws| hub(&all, ws))?;
        }
        Some("lending" | "deflate") => serve(listener, lending)?,
        _ => return Err("lending, deflate, owned, split or hub?".into()),
    }
    Ok(())
}
