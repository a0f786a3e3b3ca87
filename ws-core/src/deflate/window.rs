//! How far back a compressed message may refer.

/// The size of an LZ77 sliding window, as the base-2 logarithm of its bytes: 8 to 15 (RFC 7692 §7.1.2).
///
/// ```
/// use ws_core::deflate::WindowBits;
///
/// let bits = WindowBits::new(12).ok_or("8 to 15")?;
/// assert_eq!(bits.size(), 4096);
/// assert_eq!(WindowBits::new(7), None);
/// assert_eq!(WindowBits::new(16), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 8 bits: 256 bytes.
    pub const MIN: Self = Self(8);
    /// 15 bits: 32 KiB. This is the window unless less was agreed.
    pub const MAX: Self = Self(15);

    /// Returns a window of `2^bits` bytes, or `None` if `bits` is not 8 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= Self::MIN.0 && bits <= Self::MAX.0 { Some(Self(bits)) } else { None }
    }

    /// Returns the value of the extension's parameter: 8 to 15.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the size in bytes: 256 to 32,768.
    pub const fn size(self) -> usize {
        1 << self.0
    }
}

impl Default for WindowBits {
    fn default() -> Self {
        Self::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::WindowBits;

    // RFC 7692 §7.1.2.1
    #[test]
    fn window_bits_are_8_to_15() {
        for bits in 0..=u8::MAX {
            let window = WindowBits::new(bits);
            assert_eq!(window.is_some(), (8..=15).contains(&bits), "{bits}");
            assert_eq!(window.map(WindowBits::bits), window.and(Some(bits)));
            assert_eq!(window.map(WindowBits::size), window.map(|_| 2usize.pow(bits.into())));
        }
        assert_eq!(WindowBits::new(8), Some(WindowBits::MIN));
        assert_eq!(WindowBits::new(15), Some(WindowBits::MAX));
        assert_eq!(WindowBits::default(), WindowBits::MAX);
    }
}
