//! soketto with its extension over zlib in C, at level 1 and with 12 bits. It has no context takeover.
//!
//! Its inflating cannot be timed: with flate2 1.1.11 every compressed message fails, because soketto waits for the
//! end of a stream that does not end.

use bytes::Bytes;
use soketto::Sender;
use soketto::connection::{Builder, Mode};
use soketto::extension::deflate::Deflate as DeflateExtension;
use soketto::extension::{Extension, Param};
use tokio::io::BufStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::{BITS, Deflate};
use crate::kernel::{READ, Socket};
use crate::peers::ready;

type Stream = Compat<BufStream<Socket>>;

/// soketto's sender.
pub struct Soketto(Sender<Stream>);

impl Deflate for Soketto {
    const NAME: &'static str = "soketto";

    fn new() -> Self {
        let mut bits = Param::new("server_max_window_bits");
        bits.set_value(Some(BITS.bits().to_string()));
        let mut extension = DeflateExtension::new(Mode::Server);
        extension.configure(&[bits]).expect("valid");
        let stream = BufStream::with_capacity(READ, READ, Socket).compat();
        let mut builder = Builder::new(stream, Mode::Server);
        builder.add_extensions([Box::new(extension) as Box<dyn Extension + Send>]);
        Self(builder.finish().0)
    }

    fn deflate(&mut self, messages: &[Bytes], _sent: impl FnMut(&[u8], bool)) {
        ready(async {
            for message in messages {
                let text = str::from_utf8(message).expect("text");
                self.0.send_text(text).await.expect("it is open");
            }
            self.0.flush().await.expect("a kernel that takes all");
        });
    }
}
