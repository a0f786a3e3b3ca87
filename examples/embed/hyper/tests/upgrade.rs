//! The opening handshake on requests that hyper has parsed.

use embed_hyper::{Asked, upgrade};
use hyper::{Request, Response, Version, header::HeaderMap};
use ws_core::endpoint::Origins;

/// The request of RFC 6455 §1.3, with fields added.
fn request(fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/chat?room=1")
        .header("Host", "example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "keep-alive")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn accepted(mut request: Request<()>, origins: &Origins) -> HeaderMap {
    match upgrade(&mut request, origins, &["echo"]) {
        Asked::WebSocket(response, _) => {
            assert_eq!(response.status(), 101);
            response.headers().clone()
        }
        Asked::Plain => panic!("plain"),
        Asked::Refused(response) => panic!("{response:?}"),
    }
}

fn refused(mut request: Request<()>) -> Response<String> {
    match upgrade(&mut request, &Origins::Same, &["echo"]) {
        Asked::Refused(response) => response,
        _ => panic!("it was not refused"),
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn a_request_for_a_websocket_is_answered_with_101() {
    let headers = accepted(request(&[]), &Origins::Same);
    let expected = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    assert_eq!(pairs(&headers), expected);
}

#[test]
fn the_subprotocol_is_one_that_both_have() {
    let offers = [("Sec-WebSocket-Protocol", "soap"), ("Sec-WebSocket-Protocol", "wamp, echo")];
    let headers = accepted(request(&offers), &Origins::Same);
    assert_eq!(headers["sec-websocket-protocol"], "echo");
    let headers = accepted(request(&offers[..1]), &Origins::Same);
    assert!(!headers.contains_key("sec-websocket-protocol"));
}

#[test]
fn another_version_is_told_the_right_one() {
    let mut other = request(&[]);
    other.headers_mut().insert("Sec-WebSocket-Version", "8".parse().unwrap());
    let response = refused(other);
    assert_eq!(response.status(), 426);
    let expected =
        [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")];
    assert_eq!(pairs(response.headers()), expected);
}

#[test]
fn repeated_and_bad_fields_are_refused() {
    for (fields, status) in [
        (&[("Host", "example.org")][..], 400),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], 400),
        (&[("Sec-WebSocket-Version", "13")], 400),
        (&[("Content-Length", "5")], 400),
        (&[("Transfer-Encoding", "chunked")], 400),
    ] {
        assert_eq!(refused(request(fields)).status(), status, "{fields:?}");
    }
    let mut post = request(&[]);
    *post.method_mut() = hyper::Method::POST;
    let response = refused(post);
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET".parse().unwrap())
    );
}

#[test]
fn pages_of_other_origins_are_refused_unless_admitted() {
    accepted(request(&[("Origin", "http://example.com")]), &Origins::Same);
    for origin in ["http://example.org", "null", "http://example.com.example.org"] {
        assert_eq!(refused(request(&[("Origin", origin)])).status(), 403, "{origin}");
        accepted(request(&[("Origin", origin)]), &Origins::Any);
    }
}

#[test]
fn other_requests_are_for_the_application() {
    let mut page = request(&[]);
    for name in ["upgrade", "sec-websocket-key", "sec-websocket-version"] {
        page.headers_mut().remove(name);
    }
    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    let mut multiplexed = page.clone();
    multiplexed.headers_mut().remove("host");
    *multiplexed.version_mut() = Version::HTTP_2;
    for mut request in [page, old, multiplexed] {
        assert!(matches!(upgrade(&mut request, &Origins::Same, &[]), Asked::Plain));
    }
}
