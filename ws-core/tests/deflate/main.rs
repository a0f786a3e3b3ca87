//! permessage-deflate (RFC 7692) with both engines.
#![cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]

#[path = "../attacks/bomb.rs"]
mod bomb;
mod engines;
#[cfg(target_pointer_width = "64")]
mod four_gib;
mod rooms;
mod round_trips;
mod rules;
mod settings;
mod short;
mod slice;
mod strict;
