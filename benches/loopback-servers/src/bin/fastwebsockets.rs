//! fastwebsockets on one thread, behind hyper. It writes each frame at once, to a stream that collects output.

use std::convert::Infallible;
use std::io;

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use loopback_servers::Batched;
use tokio::net::TcpStream;

async fn echo(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = upgrade.await?;
    ws.set_writev(false);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(match upgrade::upgrade(&mut request) {
        Ok((response, upgrade)) => {
            tokio::spawn(async { drop(echo(upgrade).await) });
            response
        }
        Err(_) => {
            let mut response = Response::new(Empty::new());
            *response.status_mut() = hyper::StatusCode::UPGRADE_REQUIRED;
            response
        }
    })
}

async fn serve(stream: TcpStream) {
    let stream = TokioIo::new(Batched::new(stream));
    let _ =
        http1::Builder::new().serve_connection(stream, service_fn(answer)).with_upgrades().await;
}

fn main() -> io::Result<()> {
    loopback_servers::serve_on_tokio(serve)
}
