//! A program without std, without an allocator, without start files and without a single panic path,
//! that uses all of ws-core that needs none of them. That it links is the proof; conformance/no-std
//! links it and runs it.
//!
//! The first byte of standard input says what to do: `e` echoes the client's frames that follow, `h`
//! answers the request that follows, `d` inflates the messages that follow, `t` and `s` open a tunnel through a proxy by
//! CONNECT and by SOCKS5, whose answer follows, anything else makes calls with arguments from what follows.

#![no_std]
#![no_main]

mod frames;
#[cfg(feature = "handshake")]
mod handshakes;
#[cfg(feature = "miniz_oxide")]
mod messages;
#[cfg(feature = "proxy")]
mod proxies;
mod script;
mod system;

#[cfg(feature = "allocating")]
extern crate alloc;

use script::Script;
#[cfg(feature = "proxy")]
use ws_core::proxy::ProxyHandshake;

extern "C" fn start() -> ! {
    let mut input = [0; 64 * 1024];
    let len = system::read(&mut input);
    #[cfg(feature = "miniz_oxide")]
    if let Some((b'd', frames)) = input.get_mut(..len).and_then(<[u8]>::split_first_mut) {
        messages::inflate(frames);
        system::exit(0);
    }
    let mut script = Script(input.get(..len).unwrap_or_default());
    match script.byte() {
        Some(b'e') => frames::echo(&mut script),
        #[cfg(feature = "handshake")]
        Some(b'h') => handshakes::answer(&mut script),
        #[cfg(feature = "handshake")]
        Some(b'c') => handshakes::ask(&mut script),
        #[cfg(feature = "proxy")]
        Some(b't') => proxies::open(ProxyHandshake::http, &mut script),
        #[cfg(feature = "proxy")]
        Some(b's') => proxies::open(ProxyHandshake::socks5, &mut script),
        #[cfg(feature = "panicking")]
        Some(b'p') => system::write(&input[usize::from(script.0[0])..]),
        #[cfg(feature = "allocating")]
        Some(b'a') => system::write(&alloc::vec::Vec::from(script.0)),
        _ => frames::calls(&mut script),
    }
    system::exit(0)
}
