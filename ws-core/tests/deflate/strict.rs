//! A second opinion: DEFLATE decoded bit by bit (RFC 1951), with a window that is really kept.

/// A decoder of whole messages that knows how far back they reached.
pub(crate) struct Strict {
    window: usize,
    takeover: bool,
    seen: Vec<u8>,
    /// The longest distance so far.
    pub(crate) farthest: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The symbols whose codes have 1 bit, 2 bits, and so on.
struct Codes([Vec<usize>; 15]);

/// Why a block is invalid that has no code for its end, which belongs to every block (RFC 1951 §3.2.3).
pub(crate) const NO_END: &str = "no code for the end of the block";

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Bits<'_> {
    fn bit(&mut self) -> Result<u8, &'static str> {
        let byte = self.bytes.get(self.at / 8).ok_or("too short")?;
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        Ok(bit)
    }

    fn number(&mut self, bits: u8) -> Result<usize, &'static str> {
        (0..bits).try_fold(0, |number, i| Ok(number | usize::from(self.bit()?) << i))
    }

    /// RFC 1951 §3.2.2: the codes of a length follow one another, after those that are shorter.
    fn symbol(&mut self, codes: &Codes) -> Result<usize, &'static str> {
        let (mut code, mut first) = (0, 0);
        for symbols in &codes.0 {
            code = code << 1 | usize::from(self.bit()?);
            first <<= 1;
            if let Some(symbol) = symbols.get(code - first) {
                return Ok(*symbol);
            }
            first += symbols.len();
        }
        Err("no such code")
    }
}

impl Codes {
    fn of(lengths: &[u8]) -> Self {
        Self(
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
                .map(|len| (0..lengths.len()).filter(|symbol| lengths[*symbol] == len).collect()),
        )
    }
}

impl Strict {
    pub(crate) fn new(window: usize, takeover: bool) -> Self {
        Self { window, takeover, seen: Vec::new(), farthest: 0 }
    }

    /// The message with this payload. If the payload is empty, or ends with a final block, the four bytes that are appended
    /// belong to no block, and mean nothing.
    pub(crate) fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        if !self.takeover {
            self.seen.clear();
        }
        let start = self.seen.len();
        let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
        let mut bits = Bits { bytes: &bytes, at: 0 };
        if payload.is_empty() {
            bits.at = 8 * bytes.len();
        }
        while bits.at < 8 * bytes.len() {
            let last = bits.bit()? == 1;
            match bits.number(2)? {
                0 => {
                    bits.at = bits.at.next_multiple_of(8);
                    let len = bits.number(16)?;
                    if bits.number(16)? != !len & 0xffff {
                        return Err("lengths differ");
                    }
                    for _ in 0..len {
                        let byte = bits.number(8)? as u8;
                        self.seen.push(byte);
                    }
                }
                1 => {
                    let lengths: Vec<u8> = (0..288)
                        .map(|symbol| match symbol {
                            0..144 => 8,
                            144..256 => 9,
                            256..280 => 7,
                            _ => 8,
                        })
                        .collect();
                    self.block(&mut bits, &Codes::of(&lengths), &Codes::of(&[5; 30]))?;
                }
                2 => {
                    let (literals, distances) = (bits.number(5)? + 257, bits.number(5)? + 1);
                    let mut lengths = [0; 19];
                    for place in ORDER.iter().take(bits.number(4)? + 4) {
                        lengths[*place] = bits.number(3)? as u8;
                    }
                    let codes = Codes::of(&lengths);
                    let mut lengths: Vec<u8> = Vec::new();
                    while lengths.len() < literals + distances {
                        let (times, len) = match bits.symbol(&codes)? {
                            16 => (3 + bits.number(2)?, *lengths.last().ok_or("no length")?),
                            17 => (3 + bits.number(3)?, 0),
                            18 => (11 + bits.number(7)?, 0),
                            len => (1, len as u8),
                        };
                        lengths.extend(std::iter::repeat_n(len, times));
                    }
                    if lengths[256] == 0 {
                        return Err(NO_END);
                    }
                    let (literals, distances) = lengths.split_at(literals);
                    self.block(&mut bits, &Codes::of(literals), &Codes::of(distances))?;
                }
                _ => return Err("no such block"),
            }
            if last {
                bits.at = bits.at.next_multiple_of(8);
                if bits.at == 8 * payload.len() {
                    break;
                }
            }
        }
        let message = self.seen[start..].to_vec();
        self.seen.drain(..self.seen.len().saturating_sub(1 << 15));
        Ok(message)
    }

    fn block(
        &mut self,
        bits: &mut Bits<'_>,
        literals: &Codes,
        distances: &Codes,
    ) -> Result<(), &'static str> {
        loop {
            let symbol = bits.symbol(literals)?;
            let len = match symbol {
                0..256 => {
                    self.seen.push(symbol as u8);
                    continue;
                }
                256 => return Ok(()),
                257..265 => symbol - 254,
                265..285 => {
                    let extra = (symbol - 261) / 4;
                    (((symbol - 261) % 4 + 4) << extra) + 3 + bits.number(extra as u8)?
                }
                285 => 258,
                _ => return Err("no such length"),
            };
            let distance = match bits.symbol(distances)? {
                symbol @ 0..4 => symbol + 1,
                symbol @ 4..30 => {
                    let extra = symbol / 2 - 1;
                    ((symbol % 2 + 2) << extra) + 1 + bits.number(extra as u8)?
                }
                _ => return Err("no such distance"),
            };
            if distance > self.window || distance > self.seen.len() {
                return Err("too far back");
            }
            self.farthest = self.farthest.max(distance);
            for _ in 0..len {
                self.seen.push(self.seen[self.seen.len() - distance]);
            }
        }
    }
}
