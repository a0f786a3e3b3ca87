//! The opening handshake of both sides, driven by the input.

use ws_core::handshake::{
    AcceptResponse, ClientKey, ClientRequest, DEFAULT_MAX_FIELDS, FieldSlots, HeadReader,
    HttpResponse, RequestHead, ResponseHead, same_origin, select_subprotocol,
};

use crate::script::Script;
use crate::system::write;

/// Answers a request: a WebSocket is opened with the first subprotocol on the list, a faulty
/// request is refused, a plain one gets a page.
pub(crate) fn answer(script: &mut Script<'_>) {
    let received = script.0;
    let mut output = [0; 1024];
    let mut reader = HeadReader::request(16 * 1024);
    let len = match reader.push(received) {
        Ok(Some(end)) => respond(received.get(..end).unwrap_or_default(), &mut output),
        Ok(None) => 0,
        Err(error) => error.write_response(&mut output).unwrap_or(0),
    };
    write(output.get(..len).unwrap_or_default());
}

fn respond(head: &[u8], out: &mut [u8]) -> usize {
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let request = match RequestHead::parse(head, &mut slots) {
        Ok(request) => request,
        Err(error) => return error.write_response(out).unwrap_or(0),
    };
    let written = match request.upgrade() {
        Ok(None) => {
            HttpResponse::new(200).headers(&[("Content-Type", "text/plain")]).write_head(out)
        }
        Ok(Some(upgrade)) => {
            if upgrade.origin.is_some_and(|origin| !same_origin(origin, upgrade.host)) {
                return HttpResponse::new(403).write_head(out).unwrap_or(0);
            }
            let response = AcceptResponse::new()
                .subprotocol(select_subprotocol(upgrade.subprotocols(), &["chat", "superchat"]));
            response.write(upgrade.key, out)
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
    let headers = [(script.text(), script.text())];
    let request = ClientRequest::new(script.text(), script.text())
        .origin(script.flag().then(|| script.text()))
        .subprotocols(&offered)
        .extensions(extensions)
        .headers(&headers);
    let len = request.write(&key, &mut output).unwrap_or(0);
    write(output.get(..len).unwrap_or_default());

    let mut reader = HeadReader::response(16 * 1024);
    let Ok(Some(end)) = reader.push(script.0) else { return };
    let Some((head, _)) = script.0.split_at_checked(end) else { return };
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let Ok(response) = ResponseHead::parse(head, &mut slots) else { return };
    if let Ok(accepted) = response.accept(&key, offered, Some(extensions)) {
        write(accepted.unwrap_or_default().as_bytes());
        return;
    }
    for (name, value) in response.fields() {
        write(name.as_bytes());
        write(value);
    }
    write(response.field("sec-websocket-version").unwrap_or_default());
    write(&[response.status() as u8, u8::from(response.is_interim())]);
}
