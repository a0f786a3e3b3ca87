//! A limit that changes while the connection is open.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
use ws_core::{Config, Endpoint, ProtocolError, Role};

const LONG: usize = 70_000;

fn failed() -> Vec<Seen> {
    vec![Seen::Failed(ProtocolError::MessageTooLarge.into())]
}

// 20 bytes take the short way of the receiver, 70,000 do not.
#[test]
fn a_message_may_be_as_long_as_the_limit_is_when_its_frame_begins() {
    for role in ROLES {
        for len in [20, LONG] {
            let message = to(role, FIN | BINARY, &vec![7; len]);
            let expected = vec![binary(&vec![7; len])];

            let mut endpoint = open(role, Config::new().max_message(10));
            endpoint.inbound.set_max_message(len as u64);
            assert_eq!(feed(&mut endpoint, &message), expected);
            endpoint.inbound.set_max_message(len as u64 - 1);
            assert_eq!(feed(&mut endpoint, &message), failed());

            let mut endpoint = open(role, Config::new().max_message(10));
            assert_eq!(feed(&mut endpoint, &to(role, FIN | BINARY, &[1; 10])), [binary(&[1; 10])]);
            assert_eq!(feed(&mut endpoint, &message), failed());
        }
    }
}

#[test]
fn a_frame_that_has_begun_is_within_the_earlier_limit() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new().max_message(20));
        let first = to(role, BINARY, &[1; 15]);
        assert_eq!(feed(&mut endpoint, &first[..10]), []);
        endpoint.inbound.set_max_message(5);
        assert_eq!(feed(&mut endpoint, &first[10..]), []);
        assert_eq!(feed(&mut endpoint, &to(role, FIN | CONT, &[2])), failed());

        let mut endpoint = open(role, Config::new().max_message(15));
        assert_eq!(feed(&mut endpoint, &first), []);
        endpoint.inbound.set_max_message(20);
        let whole = [vec![1; 15], vec![2; 5]].concat();
        assert_eq!(feed(&mut endpoint, &to(role, FIN | CONT, &[2; 5])), [binary(&whole)]);
    }
}

#[test]
fn the_limit_may_change_before_the_handshake() {
    let mut endpoint = Endpoint::server(Config::new());
    endpoint.inbound.set_max_message(3);
    assert_eq!(feed(&mut endpoint, REQUEST.as_bytes()).len(), 1);
    endpoint.outbound.accept(&ws_core::handshake::AcceptResponse::new()).unwrap();
    assert_eq!(seen(&mut endpoint).len(), 1);
    let message = to(Role::Server, FIN | TEXT, b"four");
    assert_eq!(feed(&mut endpoint, &message), failed());
}
