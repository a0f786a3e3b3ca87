//! Text that is known to be UTF-8.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use crate::{ProtocolError, utf8};

/// UTF-8 text over shared bytes: cheap to clone, and a `&str` by dereference.
///
/// ```
/// use ws_core::Text;
///
/// let text = Text::from("hello");
/// assert_eq!(text.len(), 5);
/// assert_eq!(text, "hello");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Bytes);

impl Text {
    /// Text that is not copied.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The text as a string slice.
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor takes a string or bytes that were checked, and shared bytes do not
        // change. To validate again at each look would cost a second pass over every message: 400 ns for
        // 1 KiB of Chinese, against 75 ns for all else that is done to it.
        #[allow(unsafe_code)]
        unsafe {
            core::str::from_utf8_unchecked(&self.0)
        }
    }

    /// Text of bytes that were checked.
    ///
    /// # Safety
    ///
    /// The bytes are UTF-8.
    #[cfg(feature = "endpoint")]
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn from_checked(bytes: Bytes) -> Self {
        debug_assert!(core::str::from_utf8(&bytes).is_ok());
        Self(bytes)
    }

    /// The bytes of the text, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl TryFrom<Bytes> for Text {
    type Error = ProtocolError;

    #[inline]
    fn try_from(bytes: Bytes) -> Result<Self, ProtocolError> {
        utf8::check(&bytes)?;
        Ok(Self(bytes))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        text.into_string().into()
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// Copied, unless nobody else shares the bytes.
impl From<Text> for String {
    fn from(text: Text) -> Self {
        Self::from_utf8(text.0.into()).unwrap_or_default()
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_validated() {
        assert_eq!(Text::try_from(Bytes::from_static(b"\xff")), Err(ProtocolError::InvalidUtf8));
        let text = Text::try_from(Bytes::from_static("κόσμε".as_bytes())).unwrap();
        assert_eq!(text, "κόσμε");
        assert_eq!(text.into_bytes(), "κόσμε".as_bytes());
    }
}
