//! The opening handshake of both sides, driven by the input.

use ws_core::handshake::{
    AcceptResponse, BodyPart, BodyReader, ClientKey, ClientRequest, DEFAULT_MAX_FIELDS,
    EMPTY_FIELD, HeadKind, HeadReader, HttpResponse, RequestHead, RequestKind, ResponseHead,
    same_origin, select_subprotocol,
};

use crate::script::Script;
use crate::system::write;

/// Answers a request: a WebSocket is opened with the first subprotocol on the list, a faulty
/// request is refused, a plain one gets a page.
pub(crate) fn answer(script: &mut Script<'_>) {
    let received = script.0;
    let mut output = [0; 1024];
    let mut reader = HeadReader::new(HeadKind::Request, 16 * 1024);
    let len = match reader.feed(received) {
        Ok(Some(end)) => respond(received.get(..end).unwrap_or_default(), &mut output),
        Ok(None) => 0,
        Err(error) => error.write_response(&mut output).unwrap_or(0),
    };
    write(output.get(..len).unwrap_or_default());
}

fn respond(head: &[u8], out: &mut [u8]) -> usize {
    let mut fields = [EMPTY_FIELD; DEFAULT_MAX_FIELDS];
    let request = match RequestHead::parse(head, &mut fields) {
        Ok(request) => request,
        Err(error) => return error.write_response(out).unwrap_or(0),
    };
    let written = match request.classify() {
        Ok(RequestKind::Plain) => {
            HttpResponse { status: 200, headers: &[("Content-Type", "text/plain")], body: b"" }
                .write_head(out)
        }
        Ok(RequestKind::Upgrade(upgrade)) => {
            if upgrade.origin().is_some_and(|origin| !same_origin(origin, upgrade.host())) {
                return HttpResponse { status: 403, headers: &[], body: b"" }
                    .write_head(out)
                    .unwrap_or(0);
            }
            let response = AcceptResponse {
                subprotocol: select_subprotocol(upgrade.subprotocols(), &["chat", "superchat"]),
                ..AcceptResponse::default()
            };
            response
                .check_offered(upgrade.subprotocols(), upgrade.extensions())
                .and_then(|()| response.write(upgrade.key(), out))
        }
        Err(error) => error.write_response(out),
    };
    written.unwrap_or(0)
}

/// Writes a request with values of the input, and reads the rest as the answer to it.
pub(crate) fn ask(script: &mut Script<'_>) {
    let mut output = [0; 1024];
    let mut nonce = [0; 16];
    for byte in &mut nonce {
        *byte = script.byte().unwrap_or(0);
    }
    let key = ClientKey::from_nonce(nonce);
    let offered = [script.text(), script.text()];
    let extensions = script.text();
    let request = ClientRequest {
        host: script.text(),
        target: script.text(),
        origin: script.flag().then(|| script.text()),
        subprotocols: &offered,
        extensions: Some(extensions),
        headers: &[(script.text(), script.text())],
    };
    let len = request.write(&key, &mut output).unwrap_or(0);
    write(output.get(..len).unwrap_or_default());

    let mut reader = HeadReader::new(HeadKind::Response, 16 * 1024);
    let Ok(Some(end)) = reader.feed(script.0) else { return };
    let Some((head, rest)) = script.0.split_at_checked(end) else { return };
    let mut fields = [EMPTY_FIELD; DEFAULT_MAX_FIELDS];
    let Ok(response) = ResponseHead::parse(head, &mut fields) else { return };
    if let Ok(accepted) = response.accept(&key, offered, Some(extensions)) {
        write(accepted.subprotocol.unwrap_or_default().as_bytes());
        for extension in accepted.extensions {
            write(extension.name().as_bytes());
            for (name, value) in extension.params() {
                write(name.as_bytes());
                value.into_iter().flat_map(|value| value.bytes()).for_each(|byte| write(&[byte]));
            }
        }
        return;
    }
    response.server_versions().for_each(|version| write(&[version]));
    let Ok(length) = response.body_length() else { return };
    let mut body = BodyReader::new(length);
    let mut rest = rest;
    while let Ok((consumed, BodyPart::Data(data))) = body.feed(rest) {
        write(data);
        rest = rest.get(consumed..).unwrap_or_default();
    }
    write(&[u8::from(body.receive_eof().is_ok()), u8::from(body.is_done())]);
}
