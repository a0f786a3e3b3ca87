//! A second opinion on what we compress: a foreign decoder, which refuses to look further back than the agreed
//! window, accepts all of it.

#[cfg(test)]
mod tests {
    use compcol::deflate::{Decoder, DecoderConfig};
    use compcol::{Decoder as _, Status};
    use ws_core::deflate::{DeflateOptions, Deflater, Pool, WindowBits};

    /// The four bytes that a sender removes (RFC 7692 §7.2.1).
    const TAIL: [u8; 4] = [0, 0, 255, 255];
    const MESSAGES: u32 = 60;

    /// xorshift32.
    struct Random(u32);

    impl Random {
        fn below(&mut self, end: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            ((u64::from(self.0) * u64::from(end)) >> 32) as u32
        }

        /// Words that come again after any distance, noise, or one byte many times.
        fn message(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
            let len = match self.below(8) {
                0 => 0,
                1 => 40_000,
                _ => 1 << self.below(13),
            };
            match self.below(5) {
                0 => (0..len).map(|_| self.below(256) as u8).collect(),
                1 => vec![self.below(256) as u8; len],
                _ => {
                    let mut message = Vec::new();
                    while message.len() < len {
                        message.extend_from_slice(&words[self.below(words.len() as u32) as usize]);
                    }
                    message.truncate(len);
                    message
                }
            }
        }
    }

    fn strict(size: usize) -> Decoder {
        Decoder::with_config(DecoderConfig::default().with_window_size(size))
    }

    fn inflate(
        decoder: &mut Decoder,
        payload: &[u8],
        len: usize,
    ) -> Result<Vec<u8>, compcol::Error> {
        let mut plain = vec![0; len + 1];
        let mut written = 0;
        for mut input in [payload, &TAIL] {
            while !input.is_empty() {
                let (progress, status) = decoder.decode(input, &mut plain[written..])?;
                input = &input[progress.consumed..];
                written += progress.written;
                assert!(
                    status == Status::InputEmpty,
                    "{status:?}: more plaintext, or the last block"
                );
            }
        }
        plain.truncate(written);
        Ok(plain)
    }

    /// One direction of a connection, under both decoders' eyes.
    struct Direction {
        deflater: Deflater,
        decoder: Decoder,
        size: usize,
        takeover: bool,
    }

    impl Direction {
        fn new(pool: &Pool, bits: WindowBits, options: DeflateOptions, takeover: bool) -> Self {
            let deflater = Deflater::new(pool, bits, options);
            let deflater = if takeover { deflater } else { deflater.no_context_takeover() };
            Self { deflater, decoder: strict(bits.size()), size: bits.size(), takeover }
        }

        /// Returns whether the message was compressed.
        fn send(&mut self, message: &[u8], pieces: Option<usize>) -> bool {
            let mut payload = Vec::new();
            match pieces {
                None if !self.deflater.compress(message, &mut payload) => return false,
                None => assert!(payload.len() < message.len()),
                Some(len) => {
                    for piece in message.chunks(len) {
                        self.deflater.compress_piece(piece, false, &mut payload);
                    }
                    self.deflater.compress_piece(&[], true, &mut payload);
                }
            }
            if !self.takeover {
                self.decoder = strict(self.size);
            }
            assert_eq!(inflate(&mut self.decoder, &payload, message.len()).as_deref(), Ok(message));
            true
        }
    }

    // RFC 7692 §7.1.2: "data using an LZ77 sliding window of up to 2 ** bits bytes"
    #[test]
    fn a_decoder_with_the_agreed_window_takes_all_that_is_compressed() {
        let mut random = Random(1);
        let words: Vec<Vec<u8>> = (0..200)
            .map(|_| (0..1 + random.below(40)).map(|_| b'a' + random.below(26) as u8).collect())
            .collect();
        let mut compressed = 0;
        for bits in (8..=15).filter_map(WindowBits::new) {
            for (level, mem_level) in [(0, 8), (1, 8), (1, 1), (2, 9), (6, 8), (6, 1), (9, 9)] {
                for takeover in [true, false] {
                    let options = DeflateOptions::new().level(level).mem_level(mem_level);
                    // Three connections in turn, so that engines change hands.
                    let pool = Pool::with_engines(std::num::NonZeroUsize::MIN);
                    let mut directions: [Direction; 3] =
                        std::array::from_fn(|_| Direction::new(&pool, bits, options, takeover));
                    for _ in 0..MESSAGES {
                        let message = random.message(&words);
                        let pieces =
                            (random.below(3) == 0).then(|| 1 + random.below(3000) as usize);
                        let direction = &mut directions[random.below(3) as usize];
                        compressed += u32::from(direction.send(&message, pieces));
                    }
                }
            }
        }
        assert!(compressed > 8 * 7 * 2 * MESSAGES / 2, "{compressed} messages were compressed");
    }

    #[test]
    fn the_decoder_refuses_what_is_further_back_than_its_window() {
        let mut random = Random(2);
        let noise: Vec<u8> = (0..300).map(|_| random.below(256) as u8).collect();
        let message = noise.repeat(2);
        let bits = WindowBits::new(10).unwrap();
        let mut payload = Vec::new();
        assert!(
            Deflater::new(&Pool::new(), bits, DeflateOptions::new())
                .compress(&message, &mut payload)
        );
        assert_eq!(inflate(&mut strict(512), &payload, 600), Ok(message));
        assert!(inflate(&mut strict(256), &payload, 600).is_err());
    }
}
