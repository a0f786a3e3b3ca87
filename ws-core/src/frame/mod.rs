//! The wire format of frames (RFC 6455 §5.2): pure values and functions, no state.
//!
//! [`FrameHeader`] is the head of one frame, [`mask()`] applies a [`MaskingKey`], and
//! [`CloseCode`] with [`CloseFrame`] is the body of a Close frame. Which frame may come when is the
//! business of [`connection`](crate::connection).

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
