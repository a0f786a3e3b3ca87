//! permessage-deflate (RFC 7692) with both engines.
#![cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]

mod engines;
mod rooms;
mod round_trips;
mod rules;
mod slice;
mod strict;
