//! Sends each byte back: what of the flash the board takes, and not the protocol.

#![no_std]
#![no_main]

use firmware::Line;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut line = Line::start();
    let mut buffer = [0; 256];
    loop {
        line.wait_for_client(0);
        while let Ok(count) = line.read(&mut buffer) {
            line.write(buffer.get(..count).unwrap_or_default());
        }
        line.hang_up();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_path_survives() -> !;
    }
    a_panic_path_survives()
}
