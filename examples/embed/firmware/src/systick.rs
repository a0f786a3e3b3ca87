//! Time: the processor's own timer.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::register::Register;

/// The clock of the processor on this board.
const HERTZ: u32 = 25_000_000;
/// How much time one interrupt stands for: the resolution of all time-outs.
const MILLIS_PER_TICK: u32 = 10;

const CONTROL: Register = Register::at(0xe000_e010);
const RELOAD: Register = Register::at(0xe000_e014);
const CURRENT: Register = Register::at(0xe000_e018);

static MILLIS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn start() {
    RELOAD.write(HERTZ / 1000 * MILLIS_PER_TICK - 1);
    CURRENT.write(0);
    // On, with interrupts, by the processor's clock.
    CONTROL.write(0b111);
}

/// Milliseconds since the start, modulo 2^32.
pub fn millis() -> u32 {
    MILLIS.load(Ordering::Relaxed)
}

pub(crate) extern "C" fn tick() {
    // Nobody else writes it: a load and a store do, which the smallest Cortex-M has.
    MILLIS.store(millis().wrapping_add(MILLIS_PER_TICK), Ordering::Relaxed);
}
