//! The serial ports: Arm's CMSDK UART, which holds one byte in each direction.

use crate::register::Register;
use crate::systick::millis;

const TRANSMIT_FULL: u32 = 1 << 0;
const RECEIVE_FULL: u32 = 1 << 1;
const TRANSMIT_ON: u32 = 1 << 0;
const RECEIVE_ON: u32 = 1 << 1;
const RECEIVE_INTERRUPT: u32 = 1 << 3;
/// The smallest divisor that the port takes: QEMU does not look at it, a board wants its own.
const DIVISOR: u32 = 16;
/// How long nobody may take what is sent, in milliseconds.
const STALL: u32 = 5_000;

#[derive(Clone, Copy)]
pub(crate) struct Uart {
    base: usize,
}

impl Uart {
    pub(crate) const fn at(base: usize) -> Self {
        Self { base }
    }

    /// Turns both directions on, and an interrupt for each byte that arrives.
    pub(crate) fn start(self) {
        self.register(0x10).write(DIVISOR);
        self.register(0x08).write(TRANSMIT_ON | RECEIVE_ON | RECEIVE_INTERRUPT);
    }

    /// The byte that has arrived, if one has.
    pub(crate) fn read(self) -> Option<u8> {
        if self.register(0x04).read() & RECEIVE_FULL == 0 {
            return None;
        }
        Some(self.register(0x00).read() as u8)
    }

    /// Ends the interrupt for a byte that has arrived, whether it was taken or not.
    pub(crate) fn acknowledge(self) {
        self.register(0x0c).write(RECEIVE_FULL);
    }

    /// Waits until the byte before has left, then sends this one; `false` if that takes too long.
    pub(crate) fn write(self, byte: u8) -> bool {
        let free = self.flush();
        if free {
            self.register(0x00).write(byte.into());
        }
        free
    }

    /// Waits until everything has left; `false` if that takes too long.
    pub(crate) fn flush(self) -> bool {
        let start = millis();
        while self.register(0x04).read() & TRANSMIT_FULL != 0 {
            if millis().wrapping_sub(start) >= STALL {
                return false;
            }
        }
        true
    }

    const fn register(self, offset: usize) -> Register {
        Register::at(self.base + offset)
    }
}
