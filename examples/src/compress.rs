//! The command-line options for permessage-deflate.

use std::error::Error;

use ws_std::deflate::{Compression, DeflateConfig, WindowBits};

use crate::Args;

/// The options `--deflate`, `--deflate-window BITS` and `--deflate-no-takeover`. Each of them turns compression on.
#[derive(Debug, Default)]
pub struct Deflate(Option<DeflateConfig>);

impl Deflate {
    /// Reads an argument if it is one of these options, and returns whether it is.
    ///
    /// # Errors
    ///
    /// Returns an error if the window is not from 8 to 15.
    pub fn take(&mut self, arg: &str, args: &mut Args) -> Result<bool, Box<dyn Error>> {
        let config = self.0.unwrap_or_default();
        self.0 = Some(match arg {
            "--deflate" => config,
            "--deflate-window" => {
                let number = args.number(arg)?;
                let bits = u8::try_from(number).ok().and_then(WindowBits::new);
                let bits = bits.ok_or_else(|| format!("{arg} {number}: not 8 to 15"))?;
                config.server_max_window_bits(bits).client_max_window_bits(bits)
            }
            "--deflate-no-takeover" => {
                config.server_no_context_takeover(true).client_no_context_takeover(true)
            }
            _ => return Ok(false),
        });
        Ok(true)
    }

    /// Returns the settings, with a pool of their own, or `None` if there was no such option.
    pub fn compression(&self) -> Option<Compression> {
        self.0.map(|config| Compression::default().negotiation(config))
    }
}
