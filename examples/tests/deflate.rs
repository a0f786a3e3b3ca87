//! The options of the programs that are about permessage-deflate.

mod support;

use std::thread;

use support::{LONG, Program, Server, outcome, run};
use ws_std::deflate::{Compression, DeflateParams, WindowBits};
use ws_std::{Connector, Listener};

fn agreed(bits: u8, no_takeover: bool) -> Option<DeflateParams> {
    let bits = WindowBits::new(bits).filter(|bits| *bits != WindowBits::MAX);
    Some(DeflateParams {
        server_no_context_takeover: no_takeover,
        client_no_context_takeover: no_takeover,
        server_max_window_bits: bits,
        client_max_window_bits: bits,
    })
}

#[test]
fn echo_server_agrees_to_what_its_options_say() {
    for (options, expected) in [
        (&[][..], None),
        (&["--deflate"], agreed(12, false)),
        (&["--deflate", "--deflate-window", "15"], agreed(15, false)),
        (&["--deflate-window", "9"], agreed(9, false)),
        (&["--deflate-no-takeover"], agreed(12, true)),
        (&["--deflate", "--deflate-no-takeover", "--deflate-window", "10"], agreed(10, true)),
    ] {
        let server = Server::start("echo_server", &[&["127.0.0.1:0"], options].concat());
        let client = Connector::builder().read_timeout(Some(LONG)).deflate(Compression::default());
        let mut ws = client.connect(&server.url).unwrap();
        assert_eq!(ws.deflate(), expected, "{options:?}");
        let text = "0123456789".repeat(20);
        for _ in 0..2 {
            ws.send(&*text).unwrap();
            assert_eq!(ws.read().unwrap().unwrap().as_text(), Some(&*text));
        }
    }
}

#[test]
fn the_clients_offer_what_their_options_say() {
    let listener = Listener::builder().deflate(Compression::default()).bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
        server_max_window_bits=9; client_max_window_bits=9";
    let cases = [
        (&[][..], None),
        (&["--deflate"], Some("permessage-deflate; client_max_window_bits")),
        (&["--deflate-window", "9", "--deflate-no-takeover"], Some(all)),
    ];
    let server = thread::spawn(move || {
        cases.map(|(_, expected)| {
            // The last one opens two connections: for the number of cases, and for the report.
            for client in ["echo_client", "ws", "autobahn_client", "autobahn_client"] {
                let mut ws = listener.accept().unwrap().accept().unwrap();
                let offers = ws.request().unwrap().header("Sec-WebSocket-Extensions");
                assert_eq!(offers, expected, "{client}");
                assert_eq!(ws.deflate().is_some(), expected.is_some());
                if client == "autobahn_client" {
                    ws.send("0").unwrap();
                }
                while let Ok(Some(message)) = ws.read() {
                    ws.send(message).unwrap();
                }
            }
        })
    });
    for (options, _) in cases {
        let output = run("echo_client", &[options, &[&*url, "hello"]].concat(), "");
        assert_eq!(outcome(&output), (Some(0), "hello\n".into(), String::new()));
        let output = run("ws", &[&["connect", &*url], options].concat(), "hello\n");
        assert_eq!(outcome(&output).0, Some(0), "{output:?}");
        let output = run("autobahn_client", &[&[&*url, "us"], options].concat(), "");
        assert_eq!(outcome(&output).0, Some(0), "{output:?}");
    }
    server.join().unwrap();
}

#[test]
fn ws_shows_compressed_messages_as_they_are_on_the_wire_and_as_they_were() {
    let server = Program::start("ws", &["serve", "127.0.0.1:0", "--echo", "--trace", "--deflate"]);
    let line = server.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let text = "0123456789".repeat(20);
    let args = ["connect", url, "--trace", "--deflate"];
    let (status, stdout, stderr) = outcome(&run("ws", &args, &format!("{text}\n")));
    assert_eq!((status, stdout), (Some(0), format!("{text}\n")));
    let start = &text[..64];
    for arrow in ["<", ">"] {
        let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with(arrow)).collect();
        let at = lines.iter().position(|line| line.contains("text, RSV1, ")).unwrap();
        assert_eq!(lines[at + 1], format!("{arrow} inflated, 200 bytes: \"{start}\"…"));
    }
    server.complains(" < inflated, 200 bytes: ");
}

#[test]
fn a_window_is_8_to_15() {
    for bits in ["7", "16", "300"] {
        let (status, _, stderr) = outcome(&run("echo_server", &["--deflate-window", bits], ""));
        let expected = format!("echo_server: --deflate-window {bits}: not 8 to 15\n");
        assert_eq!((status, stderr), (Some(1), expected));
    }
}
