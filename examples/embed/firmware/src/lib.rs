#![doc = include_str!("../README.md")]
#![no_std]

mod line;
mod mem;
mod memory;
mod register;
mod ring;
pub mod server;
mod startup;
mod systick;
mod uart;

pub use line::{Line, NoCarrier};
pub use startup::restart;
pub use systick::millis;
