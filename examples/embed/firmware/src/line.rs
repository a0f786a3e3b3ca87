//! The line to the network: a serial port for data, and a second one in place of a modem's control
//! wires. On a board those are two pins: "carrier detect" (DCD) in, "terminal ready" (DTR) out.

use crate::register::Register;
use crate::ring::Ring;
use crate::uart::Uart;
use crate::{memory, systick};

const DATA: Uart = Uart::at(0x4000_4000);
const CONTROL: Uart = Uart::at(0x4000_5000);
/// The interrupts of the two, when a byte has arrived.
const DATA_INTERRUPT: u32 = 1 << 0;
const CONTROL_INTERRUPT: u32 = 1 << 2;

const ENABLE_INTERRUPTS: Register = Register::at(0xe000_e100);
const PEND_INTERRUPTS: Register = Register::at(0xe000_e200);

/// From the network: a client is there, it is gone, and a question about the memory.
const CARRIER: u8 = b'C';
const NO_CARRIER: u8 = b'N';
const STATUS: u8 = b'?';
/// To the network: send the client's bytes; and let go of the client.
const READY: u8 = b'R';
const HANG_UP: u8 = b'H';

/// What has arrived and was not read.
static RECEIVED: Ring = Ring::new();

/// The line; there is one.
pub struct Line {
    carrier: bool,
}

/// The client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCarrier;

impl Line {
    /// Turns the line on. To be called once.
    pub fn start() -> Self {
        systick::start();
        DATA.start();
        CONTROL.start();
        ENABLE_INTERRUPTS.write(DATA_INTERRUPT | CONTROL_INTERRUPT);
        Self { carrier: false }
    }

    /// Sleeps until a client is there; answers questions about the memory meanwhile.
    pub fn wait_for_client(&mut self, state: usize) {
        loop {
            match CONTROL.read() {
                Some(CARRIER) => break,
                Some(STATUS) => memory::report(state, |word| {
                    for byte in word.to_le_bytes() {
                        CONTROL.write(byte);
                    }
                }),
                Some(_) => {}
                None => {
                    // What the last client still sent is nothing to the next one.
                    self.discard();
                    sleep_unless(|| false);
                }
            }
        }
        self.discard();
        // What is left over from a client that took nothing is not for the next one.
        DATA.flush();
        self.carrier = true;
        CONTROL.write(READY);
    }

    /// Reads what has arrived. Sleeps until something does or the time has changed: then 0.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NoCarrier> {
        if RECEIVED.is_empty() {
            if CONTROL.read() == Some(NO_CARRIER) {
                self.carrier = false;
            }
            if !self.carrier {
                return Err(NoCarrier);
            }
            sleep_unless(|| !RECEIVED.is_empty());
        }
        let count = RECEIVED.take(buffer);
        if count != 0 {
            // The interrupt has left bytes in the port if there was no room for them.
            PEND_INTERRUPTS.write(DATA_INTERRUPT);
        }
        Ok(count)
    }

    /// Sends all bytes. A client that takes none for five seconds counts as gone.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.carrier = self.carrier && DATA.write(*byte);
        }
    }

    /// Lets go of the client, once everything has left.
    pub fn hang_up(&mut self) {
        self.carrier = false;
        DATA.flush();
        CONTROL.write(HANG_UP);
    }

    fn discard(&mut self) {
        PEND_INTERRUPTS.write(DATA_INTERRUPT);
        // The interrupt, which empties the port, has come and gone after these.
        // SAFETY: barriers change neither memory nor registers.
        unsafe { core::arch::asm!("dsb", "isb", options(nostack, preserves_flags)) };
        RECEIVED.clear();
    }
}

/// A byte has arrived on one of the ports. Those of the control port are left to be polled.
pub(crate) extern "C" fn interrupt() {
    while !RECEIVED.is_full() {
        let Some(byte) = DATA.read() else { break };
        RECEIVED.put(byte);
    }
    DATA.acknowledge();
    CONTROL.acknowledge();
}

/// Sleeps until an interrupt, unless there is already what the program would wait for.
fn sleep_unless(ready: impl FnOnce() -> bool) {
    // Interrupts are held back, so that none comes between the look and the sleep. One that is held
    // back ends the sleep all the same.
    // SAFETY: these instructions touch neither memory nor the stack.
    unsafe { core::arch::asm!("cpsid i", options(nostack, preserves_flags)) };
    if !ready() {
        // SAFETY: as above.
        unsafe { core::arch::asm!("wfi", options(nostack, preserves_flags)) };
    }
    // SAFETY: as above.
    unsafe { core::arch::asm!("cpsie i", options(nostack, preserves_flags)) };
}
