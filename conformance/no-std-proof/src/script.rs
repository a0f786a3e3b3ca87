//! The input, from which come calls and their arguments: nothing about them is known when compiling.

use ws_core::MaskingKey;

pub(crate) struct Script<'s>(pub(crate) &'s [u8]);

impl<'s> Script<'s> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte().is_some_and(|byte| byte & 1 != 0)
    }

    pub(crate) fn number(&mut self) -> u64 {
        let mut number = 0;
        for _ in 0..self.byte().unwrap_or(0) & 7 {
            number = number << 8 | u64::from(self.byte().unwrap_or(0));
        }
        number
    }

    pub(crate) fn bytes(&mut self) -> &'s [u8] {
        let len = (self.number() & 0x3ff) as usize;
        let (bytes, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        bytes
    }

    pub(crate) fn text(&mut self) -> &'s str {
        core::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    pub(crate) fn key(&mut self) -> Option<MaskingKey> {
        let key = (self.number() as u32).to_ne_bytes();
        self.flag().then_some(MaskingKey::new(key))
    }
}

/// Copies as much as fits; returns the copy.
pub(crate) fn copy<'b>(from: &[u8], buffer: &'b mut [u8]) -> &'b mut [u8] {
    let len = from.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(from) {
        *to = *from;
    }
    buffer.get_mut(..len).unwrap_or_default()
}
