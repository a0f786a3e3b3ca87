//! The registers of the chip: the one place that reads and writes them.

/// A memory-mapped register of the chip.
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at an address, which has to be one of the chip's manual.
    pub(crate) const fn at(address: usize) -> Self {
        Self(address)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: the addresses in this crate are those of registers, aligned and always there.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as in `read`. What a write can do to memory, DMA, is not used.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}
