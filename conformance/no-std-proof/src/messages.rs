//! Compressed messages, driven by the input.

use ws_core::deflate::{Decoder, Limits, SliceInflater};
use ws_core::{Config, Connection, Input, Instant, Role, Step};

use crate::system::write;

/// Writes the messages of a server's frames, inflated, until one is refused.
pub(crate) fn inflate(received: &mut [u8]) {
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let (mut window, mut decoder) = ([0; 1024], Decoder::new());
    let Some(mut inflater) = SliceInflater::new(&mut window, &mut decoder, Limits::new()) else {
        return;
    };
    let mut input = Input::new(received);
    while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
        let mut pieces = inflater.push(&chunk);
        while let Ok(Some(piece)) = pieces.next_piece() {
            write(piece.bytes);
        }
    }
}
