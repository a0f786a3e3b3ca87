//! The parts of a program around the server: the client script, and HTTP connections with deadlines.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// How long a connection may stay while the peer takes nothing of what was sent to it. Linux only.
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_secs(20);

/// Where npm puts the client, in a folder `node_modules`.
const SCRIPT: &str = "node_modules/socket.io-client/dist/socket.io.js";

const NOT_FOUND: &str = "The client script was not found: run `npm install --no-save socket.io-client`, or name the \
                         file by --client.\n";

/// Returns a route for the script that pages load as `/socket.io/socket.io.js`: at `path`, or found in a folder
/// `node_modules` here or above. When it is not found, this function prints how to get it, and the route answers 404.
///
/// # Errors
///
/// The file at `path` cannot be read.
pub fn client_script(path: Option<&Path>) -> io::Result<Router> {
    let here = env::current_dir()?;
    let found = || here.ancestors().map(|folder| folder.join(SCRIPT)).find(|path| path.is_file());
    let path: Option<PathBuf> = path.map(Path::to_owned).or_else(found);
    let script = path.map(|path| {
        fs::read(&path)
            .map(Bytes::from)
            .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))
    });
    let script = script.transpose()?;
    if script.is_none() {
        eprint!("{NOT_FOUND}");
    }
    let handler = async move || match script.clone() {
        Some(script) => {
            ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], script).into_response()
        }
        None => (StatusCode::NOT_FOUND, NOT_FOUND).into_response(),
    };
    Ok(Router::new().route("/socket.io/socket.io.js", get(handler)))
}

/// Serves until the process ends. `axum::serve` would do as well, but its requests have no deadline.
pub async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, app.clone()))),
            Err(error) => {
                // The process may be out of file descriptors, until other connections end.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: Router) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    let service = TowerToHyperService::new(app);
    // An error says only that the client has gone away.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
