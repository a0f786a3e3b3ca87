//! How much memory the program takes, told by itself.

/// What the unused stack is filled with at reset.
pub(crate) const PAINT: u32 = 0xaaaa_aaaa;

unsafe extern "C" {
    static flash_used: u8;
    static stack_limit: u32;
    static stack_top: u32;
}

/// Passes on: bytes of flash, bytes of static RAM, the most stack that was in use, and `state`.
pub(crate) fn report(state: usize, mut put: impl FnMut(u32)) {
    put((&raw const flash_used).addr() as u32);
    put((&raw const stack_limit).addr() as u32 - RAM);
    put(stack_high_water());
    put(state as u32);
}

const RAM: u32 = 0x2000_0000;

/// The most bytes of stack that were in use since the reset, interrupts included.
fn stack_high_water() -> u32 {
    let top = &raw const stack_top;
    let mut word = &raw const stack_limit;
    // SAFETY: the words between the two are the stack's; below what is in use nobody writes them.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top.addr() - word.addr()) as u32
}
