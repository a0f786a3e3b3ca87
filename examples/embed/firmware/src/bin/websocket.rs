//! The WebSocket echo server.

#![no_std]
#![no_main]

use firmware::Line;
use firmware::server::{BUFFER, serve};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut line = Line::start();
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    // SAFETY: this runs once, and nobody else can name it.
    let buffer = unsafe { &mut *(&raw mut MEMORY) };
    loop {
        line.wait_for_client(size_of::<ws_core::Connection>());
        serve(&mut line, buffer);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    firmware::restart()
}
