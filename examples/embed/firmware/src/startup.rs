//! From reset to `main`: the vector table, the memory, the floating-point unit.

use crate::register::Register;
use crate::{line, systick};

/// An entry of the vector table.
#[repr(C)]
union Vector {
    address: *const u32,
    handler: unsafe extern "C" fn(),
    unused: usize,
}

// SAFETY: nothing ever writes to the table.
unsafe impl Sync for Vector {}

unsafe extern "C" {
    static stack_top: u32;
    fn reset();
}

const UNUSED: Vector = Vector { unused: 0 };
const FAULT: Vector = Vector { handler: fault };

/// The exceptions of the processor, then the interrupts of the board, of which the two serial ports are used.
#[used]
#[unsafe(link_section = ".vectors")]
static VECTORS: [Vector; 19] = [
    Vector { address: &raw const stack_top },
    Vector { handler: reset },
    FAULT, // non-maskable interrupt
    FAULT, // hard fault
    FAULT, // memory management
    FAULT, // bus fault
    FAULT, // usage fault
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED, // supervisor call
    UNUSED,
    UNUSED,
    UNUSED, // pending supervisor call
    Vector { handler: systick::tick },
    Vector { handler: line::interrupt },
    UNUSED,
    Vector { handler: line::interrupt },
];

// The compiler may use the registers of the floating-point unit for anything (Armv7-M B3.2.20).
#[cfg(target_abi = "eabihf")]
macro_rules! enable_floating_point {
    () => {
        "ldr r0, =0xe000ed88\nldr r1, [r0]\norr r1, #0xf00000\nstr r1, [r0]\ndsb\nisb"
    };
}
#[cfg(not(target_abi = "eabihf"))]
macro_rules! enable_floating_point {
    () => {
        ""
    };
}

// Nothing has run before this, so that it does not use a stack: the whole stack is painted, which
// later shows how much of it was used. Instructions of the smallest Cortex-M alone.
core::arch::global_asm!(
    ".section .text.reset, \"ax\"",
    ".global reset",
    ".type reset, %function",
    ".thumb_func",
    "reset:",
    "ldr r0, =stack_limit",
    "ldr r1, =stack_top",
    "ldr r2, ={paint}",
    "0: str r2, [r0]",
    "adds r0, #4",
    "cmp r0, r1",
    "blo 0b",
    "ldr r0, =bss_start",
    "ldr r1, =bss_end",
    "movs r2, #0",
    "b 2f",
    "1: str r2, [r0]",
    "adds r0, #4",
    "2: cmp r0, r1",
    "blo 1b",
    "ldr r0, =data_start",
    "ldr r1, =data_end",
    "ldr r2, =data_load",
    "b 4f",
    "3: ldr r3, [r2]",
    "str r3, [r0]",
    "adds r0, #4",
    "adds r2, #4",
    "4: cmp r0, r1",
    "blo 3b",
    enable_floating_point!(),
    "bl main",
    "bl {restart}",
    ".ltorg",
    ".size reset, . - reset",
    paint = const crate::memory::PAINT,
    restart = sym restart,
);

extern "C" fn fault() {
    restart()
}

/// Asks for a reset of the whole chip and waits for it.
pub extern "C" fn restart() -> ! {
    const APPLICATION_INTERRUPT_AND_RESET: Register = Register::at(0xe000_ed0c);
    APPLICATION_INTERRUPT_AND_RESET.write(0x05fa_0004);
    loop {}
}
