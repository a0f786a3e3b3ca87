//! What an application sees of its clients, which are bare requests here. `conformance/socketio` has the protocols, and
//! the client from npm.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use embed_socketio::engine::Options;
use embed_socketio::serve::serve;
use embed_socketio::{Args, Namespace, Server, Socket};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

struct Client {
    address: SocketAddr,
    sid: String,
}

/// The status and the body of the response to a request.
async fn ask(address: SocketAddr, method: &str, query: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: {address}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

impl Client {
    async fn open(address: SocketAddr) -> Self {
        let (status, body) = ask(address, "GET", "", "").await;
        assert_eq!(status, 200, "{body}");
        let handshake: Value = serde_json::from_str(&body[1..]).unwrap();
        Self { address, sid: handshake["sid"].as_str().unwrap().to_owned() }
    }

    /// Connected to a namespace; what the server has sent since then was not read.
    async fn connect(address: SocketAddr, packet: &str) -> Self {
        let client = Self::open(address).await;
        client.post(packet).await;
        client
    }

    async fn get(&self) -> (u16, String) {
        ask(self.address, "GET", &format!("&sid={}", self.sid), "").await
    }

    async fn post(&self, body: &str) {
        let response = ask(self.address, "POST", &format!("&sid={}", self.sid), body).await;
        assert_eq!(response, (200, "ok".to_owned()));
    }

    /// All packets up to this one.
    async fn until(&self, last: &str) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.last().is_none_or(|packet| packet != last) {
            let (status, body) = self.get().await;
            assert_eq!(status, 200, "{body}, after {packets:?}");
            packets.extend(body.split('\x1e').map(str::to_owned));
        }
        packets
    }
}

async fn start(io: &Server, options: Options) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, io.router(options)));
    address
}

/// The sockets that connect, and why they go.
fn watch(io: &Server) -> (mpsc::UnboundedReceiver<Socket>, mpsc::UnboundedReceiver<String>) {
    watch_namespace(&io.of("/"))
}

fn watch_namespace(
    namespace: &Namespace,
) -> (mpsc::UnboundedReceiver<Socket>, mpsc::UnboundedReceiver<String>) {
    let ((sockets, connected), (reasons, gone)) =
        (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    namespace.on_connect(move |socket, _| {
        sockets.send(socket.clone()).unwrap();
        let reasons = reasons.clone();
        socket.on_disconnect(move |_, reason| reasons.send(reason.to_owned()).unwrap());
    });
    (connected, gone)
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(LONG, receiver.recv()).await.expect("it comes in time").unwrap()
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_found_by_the_heartbeat() {
    let io = Server::default();
    let (_connected, mut gone) = watch(&io);
    let short = Duration::from_millis(50);
    let options = Options { ping_interval: short, ping_timeout: short, ..Options::default() };
    let client = Client::connect(start(&io, options).await, "40").await;
    assert_eq!(next(&mut gone).await, "ping timeout");
    assert_eq!(client.get().await.0, 400);
}

#[tokio::test]
async fn an_application_hears_why_a_client_has_gone() {
    let io = Server::default();
    let (_connected, mut gone) = watch(&io);
    let address = start(&io, Options::default()).await;
    for (body, status, reason) in [
        ("41", 200, "client namespace disconnect"),
        ("1", 200, "transport close"),
        ("42{}", 200, "parse error"),
        ("x", 400, "parse error"),
        ("2", 400, "parse error"),
    ] {
        let client = Client::connect(address, "40").await;
        let response = ask(address, "POST", &format!("&sid={}", client.sid), body).await;
        assert_eq!((response.0, next(&mut gone).await.as_str()), (status, reason), "{body}");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_when_its_queue_is_full() {
    let io = Server::default();
    let (mut connected, mut gone) = watch(&io);
    let options = Options { max_queue: 10_000, ..Options::default() };
    let address = start(&io, options).await;
    let (slow, other) =
        (Client::connect(address, "40").await, Client::connect(address, "40").await);
    let (socket, _) = (next(&mut connected).await, next(&mut connected).await);
    let text = "x".repeat(1000);
    for _ in 0..10 {
        socket.emit("news", [json!(text)]);
    }
    assert!(socket.is_connected());
    socket.emit("news", [json!("one too many")]);
    assert_eq!(next(&mut gone).await, "transport error");
    assert!(!socket.is_connected());
    assert_eq!(slow.get().await.0, 400);
    io.of("/").emit("news", [json!("for the other")]);
    other.until(r#"42["news","for the other"]"#).await;
}

#[tokio::test]
async fn what_was_sent_before_the_server_closes_is_fetched_before_the_close_packet() {
    let io = Server::default();
    let (mut connected, mut gone) = watch(&io);
    let client = Client::connect(start(&io, Options::default()).await, "40").await;
    let socket = next(&mut connected).await;
    socket.emit("last", [json!("words")]);
    socket.close();
    assert_eq!(next(&mut gone).await, "server namespace disconnect");
    client.post("3").await; // a request that was on its way harms nothing
    let packets = client.until("1").await;
    assert_eq!(packets[1..], [r#"42["last","words"]"#, "41", "1"]);
    assert_eq!(client.get().await.0, 400);
}

#[tokio::test]
async fn a_closed_client_is_disconnected_from_all_its_namespaces() {
    let io = Server::default();
    let (mut connected, mut gone) = watch(&io);
    let (mut connected_too, mut gone_too) = watch_namespace(&io.of("/named"));
    let client = Client::connect(start(&io, Options::default()).await, "40").await;
    client.post("40/named,").await;
    let (socket, named) = (next(&mut connected).await, next(&mut connected_too).await);
    named.close();
    assert!(!socket.is_connected() && !named.is_connected());
    assert_eq!(next(&mut gone).await, "server namespace disconnect");
    assert_eq!(next(&mut gone_too).await, "server namespace disconnect");
    let mut packets = client.until("1").await.split_off(2);
    packets[..2].sort();
    assert_eq!(packets, ["41", "41/named,", "1"]);
    socket.close(); // nothing is left to close
}

#[tokio::test]
async fn a_request_with_two_origins_is_refused() {
    let address = start(&Server::default(), Options::default()).await;
    let own = format!("Origin: http://{address}\r\n");
    for (headers, status) in
        [(own.clone(), "200"), (format!("{own}Origin: http://other\r\n"), "403")]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {address}\r\n\
             Connection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert_eq!(&response[9..12], status, "{headers}");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_becomes_a_replacement_character() {
    let io = Server::default();
    io.of("/")
        .on_connect(|socket, _| socket.on("echo", |socket, args, _| socket.emit("echo", args)));
    let client = Client::connect(start(&io, Options::default()).await, "40").await;
    client.post(r#"42["echo","a\ud83d\ud83d\ude00\udE00 \\ud83d\"",1]"#).await;
    client.until("42[\"echo\",\"a\u{fffd}😀\u{fffd} \\\\ud83d\\\"\",1]").await;
}

#[tokio::test]
async fn handlers_set_after_the_end_are_dropped() {
    let io = Server::default();
    let (mut connected, _gone) = watch(&io);
    let client = Client::connect(start(&io, Options::default()).await, "40").await;
    let socket = next(&mut connected).await;
    let held = Arc::new(());
    let hold = |socket: &Socket| {
        let (first, second) = (held.clone(), held.clone());
        socket.on("event", move |_, _, _| drop(first.clone()));
        socket.on_disconnect(move |_, _| drop(second));
    };
    hold(&socket);
    assert_eq!(Arc::strong_count(&held), 3);
    client.post("41").await;
    assert_eq!(Arc::strong_count(&held), 1);
    hold(&socket);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn an_acknowledgement_comes_late_never_or_in_time() {
    let io = Server::default();
    let (mut connected, _gone) = watch(&io);
    let client = Client::connect(start(&io, Options::default()).await, "40").await;
    let socket = next(&mut connected).await;
    let late = timeout(Duration::from_millis(1), socket.emit_with_ack("a", [])).await;
    assert!(late.is_err());
    let answered = socket.emit_with_ack("b", [json!(1)]);
    let never = socket.emit_with_ack("c", []);
    let packets = client.until(r#"422["c"]"#).await;
    assert_eq!(packets[1..], [r#"420["a"]"#, r#"421["b",1]"#, r#"422["c"]"#]);
    client.post("430[0]\x1e439[0]\x1e431[\"yes\",2]\x1e41").await;
    assert_eq!(answered.await, Ok(Args::from([json!("yes"), json!(2)])));
    assert!(never.await.is_err(), "the client has gone");
    assert!(socket.emit_with_ack("d", []).await.is_err());
}

#[tokio::test]
async fn who_is_in_two_rooms_hears_once() {
    let io = Server::default();
    let (mut connected, _gone) = watch(&io);
    let address = start(&io, Options::default()).await;
    let client = Client::connect(address, "40").await;
    let socket = next(&mut connected).await;
    socket.join("a");
    socket.join("b");
    io.of("/").to("a").to("b").to(socket.id()).emit("news", [json!(1)]);
    socket.to("a").emit("news", [json!(2)]);
    socket.leave("a");
    io.of("/").to("a").emit("news", [json!(3)]);
    io.of("/").to("b").emit("news", [json!(4)]);
    let packets = client.until(r#"42["news",4]"#).await;
    assert_eq!(packets[1..], [r#"42["news",1]"#, r#"42["news",4]"#]);
}

#[tokio::test]
async fn a_namespace_decides_who_may_connect() {
    let io = Server::default();
    let secret = io.of("secret");
    secret.authorize(|auth| match auth["token"].as_str() {
        Some("open") => Ok(()),
        Some(_) => Err(json!({ "message": "not you", "data": { "code": 1 } })),
        None => Err(json!({ "message": "a token, please" })),
    });
    secret.on_connect(|socket, auth| socket.emit("hello", [auth.clone()]));
    let client = Client::open(start(&io, Options::default()).await).await;
    client.post("40/secret,").await;
    client.until(r#"44/secret,{"message":"a token, please"}"#).await;
    client.post(r#"40/secret,{"token":"x"}"#).await;
    client.until(r#"44/secret,{"message":"not you","data":{"code":1}}"#).await;
    client.post(r#"40/secret,{"token":"open"}"#).await;
    let packets = client.until(r#"42/secret,["hello",{"token":"open"}]"#).await;
    assert!(packets[0].starts_with(r#"40/secret,{"sid":"#), "{packets:?}");
}

#[tokio::test]
async fn a_panic_in_on_disconnect_costs_whoever_disconnects_that_client_nothing() {
    let io = Server::default();
    let (mut connected, mut gone) = watch(&io);
    let address = start(&io, Options::default()).await;
    let _panics = Client::connect(address, "40").await;
    let victim = next(&mut connected).await;
    victim.on_disconnect(|_, _| panic!("as the test wants"));
    let kicker = Client::connect(address, "40").await;
    let socket = next(&mut connected).await;
    socket.on("kick", move |_, _, ack| {
        victim.disconnect();
        ack.send([json!(victim.is_connected())]);
    });
    kicker.post(r#"421["kick"]"#).await;
    kicker.until("431[false]").await;
    assert!(gone.try_recv().is_err());
    assert!(socket.is_connected());
}
