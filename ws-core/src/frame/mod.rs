//! The wire format of frames (RFC 6455 §5.2), as pure values and functions without state.
//!
//! [`FrameHeader`] is the header of one frame, [`mask()`] applies a [`MaskingKey`], and [`CloseFrame`] with its
//! [`CloseCode`] is the content of a Close frame. The module [`connection`](crate::connection) checks which frame may come
//! when.
//!
//! ```
//! use ws_core::frame::{FrameHeader, OpCode, mask};
//!
//! // RFC 6455 §5.7: a masked "Hello", from a client.
//! let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let (header, start) = FrameHeader::decode(&received)?.ok_or("incomplete")?;
//! assert_eq!((header.opcode, header.fin, header.len), (OpCode::Text, true, 5));
//! let payload = &mut received[start..];
//! mask(payload, header.mask.ok_or("unmasked")?);
//! assert_eq!(payload, b"Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod close;
mod header;
mod mask;
mod opcode;

pub use close::{CloseCode, CloseFrame, MAX_REASON_LEN};
pub use header::{FrameHead, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN};
pub(crate) use header::{
    extended_length, first_byte, second_byte, short_header, short_masked_header,
};
pub(crate) use mask::{Masker, copy, mask_into};
pub use mask::{MaskingKey, mask};
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
pub(crate) use mask::{mask_blocks, mask_blocks_into};
pub use opcode::OpCode;
