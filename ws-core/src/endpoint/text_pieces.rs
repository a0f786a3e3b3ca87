//! Text that is sent piece by piece. Each fragment ends between two characters, although RFC 6455 §5.6 lets it end
//! anywhere.

use alloc::borrow::Cow;
use core::fmt;

/// The first bytes of a character whose rest is in the next piece. Unused bytes are zero, which none of them can be.
#[derive(Clone, Copy, Default)]
pub(super) struct TextPieces([u8; 3]);

impl TextPieces {
    /// Returns the text that can be sent when `piece` is added: all complete characters, or everything if `piece` is
    /// the `last` one. Bytes that are not UTF-8 are not held back.
    pub(super) fn push<'p>(&mut self, piece: &'p [u8], last: bool) -> Cow<'p, [u8]> {
        let kept = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut text = match kept {
            [] => Cow::Borrowed(piece),
            kept => Cow::Owned([kept, piece].concat()),
        };
        self.0 = [0; 3];
        let at = if last { text.len() } else { text.len().saturating_sub(unfinished(&text)) };
        for (slot, byte) in self.0.iter_mut().zip(text.get(at..).unwrap_or_default()) {
            *slot = *byte;
        }
        match &mut text {
            Cow::Borrowed(text) => *text = text.get(..at).unwrap_or_default(),
            Cow::Owned(text) => text.truncate(at),
        }
        text
    }
}

/// Returns how many bytes at the end of a text belong to an incomplete character: at most three.
fn unfinished(text: &[u8]) -> usize {
    let end = text.len().saturating_sub(3);
    let tail = text.get(end..).unwrap_or_default();
    let Some(back) = tail.iter().rev().position(|byte| byte & 0xc0 != 0x80) else { return 0 };
    let len = back.saturating_add(1);
    let needed = match tail.iter().rev().nth(back) {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if len < needed { len } else { 0 }
}

/// Shows the number of bytes only, because the content may be secret.
impl fmt::Debug for TextPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextPieces({})", self.0.iter().filter(|byte| **byte != 0).count())
    }
}
