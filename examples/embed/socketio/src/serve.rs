//! What a program needs around the server: the client script, and connections with a deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// Where npm puts the client, in a folder `node_modules`.
const SCRIPT: &str = "node_modules/socket.io-client/dist/socket.io.js";

/// A route for the script that pages load as `/socket.io/socket.io.js`: at `path`, or found in a folder
/// `node_modules` here or above.
pub fn client_script(path: Option<&Path>) -> io::Result<Router> {
    let here = env::current_dir()?;
    let found = || here.ancestors().map(|folder| folder.join(SCRIPT)).find(|path| path.is_file());
    let path: Option<PathBuf> = path.map(Path::to_owned).or_else(found);
    let script = path.map(|path| {
        fs::read_to_string(&path)
            .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))
    });
    let script = script.transpose()?;
    let handler = async move || match script.clone() {
        Some(script) => {
            ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], script).into_response()
        }
        None => {
            let why = "The client script was not found: `npm install socket.io-client`, or name it by --client.\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    };
    Ok(Router::new().route("/socket.io/socket.io.js", get(handler)))
}

/// Serves until the process ends. `axum::serve` would do as well, but its requests have no deadline.
pub async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, app.clone()))),
            Err(error) => {
                // Out of file descriptors: connections that end give some back.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: Router) {
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    let service = TowerToHyperService::new(app);
    // A client that goes away is no news for anybody.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
