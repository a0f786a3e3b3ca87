//! The parts of a program around the server: the client script, and HTTP connections with deadlines.

use std::{env, fs, path::PathBuf, time::Duration};

use axum::{Router, body::Bytes, http::header, routing::get, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// Where npm puts the client, in a folder `node_modules`.
const SCRIPT: &str = "node_modules/socket.io-client/dist/socket.io.js";

const NOT_FOUND: &str = "The client script was not found: run `npm install --no-save socket.io-client`, or name the \
                         file by --client.";

/// Returns a route for the script that pages load as `/socket.io/socket.io.js`: at `path`, or found in a folder
/// `node_modules` here or above.
///
/// # Errors
///
/// There is no such file, or it cannot be read.
pub fn client_script(path: Option<&str>) -> Result<Router, String> {
    let here = env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(SCRIPT)).find(|path| path.is_file());
    let path = path.map(PathBuf::from).or(found).ok_or(NOT_FOUND)?;
    let script = fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let content_type = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let response = (content_type, Bytes::from(script));
    Ok(Router::new().route("/socket.io/socket.io.js", get(response)))
}

/// Serves until the process ends. `axum::serve` would do as well, but its requests have no deadline.
pub async fn serve(mut listener: TcpListener, app: Router) -> ! {
    loop {
        let (stream, _) = Listener::accept(&mut listener).await; // tries again after an error
        tokio::spawn(connection(stream, app.clone()));
    }
}

async fn connection(stream: TcpStream, app: Router) {
    let _ = stream.set_nodelay(true);
    // How long the client may take nothing of what was sent to it.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_secs(20)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    let service = TowerToHyperService::new(app);
    // An error says only that the client has gone away.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
