//! Points in time, in milliseconds that may wrap, and time-outs.
//!
//! Four bytes are enough because only differences are compared.

use core::time::Duration;

/// A point in time, in milliseconds since an origin that the driver chooses.
///
/// The value wraps after 49.7 days. That does no harm, because only differences are compared, and no time-out is
/// longer than 24 days.
///
/// ```
/// use core::time::Duration;
/// use ws_core::Instant;
///
/// let earlier = Instant::from_millis(u32::MAX - 10);
/// let later = earlier.saturating_add(Duration::from_millis(30));
/// assert_eq!(later, Instant::from_millis(19));
/// assert_eq!(later.saturating_since(earlier), Duration::from_millis(30));
/// assert_eq!(earlier.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instant(u32);

impl Instant {
    /// The longest time between two points.
    const MAX_SPAN: u32 = i32::MAX as u32;
    /// The longest time-out: 24 days. It is 20 hours less than the longest span, so that a driver that looks late still sees that
    /// the time-out has passed.
    const MAX_TIMEOUT: u32 = 24 * 24 * 60 * 60 * 1000;

    /// Returns the point that lies this many milliseconds after the origin, modulo 2^32.
    #[inline]
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis)
    }

    /// Returns the point that lies this long after the origin. Pass the `origin.elapsed()` of a clock.
    #[inline]
    pub const fn from_elapsed(elapsed: Duration) -> Self {
        Self(elapsed.as_millis() as u32)
    }

    /// Returns the milliseconds since the origin, modulo 2^32.
    #[inline]
    pub const fn as_millis(self) -> u32 {
        self.0
    }

    /// Returns how long after `earlier` this point lies, or zero if it is not later.
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis_since(earlier) as u64)
    }

    /// Returns the point that lies `duration` after this one. A duration of more than 24 days counts as 24 days.
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        if duration.is_zero() { self } else { self.plus_millis(millis(Some(duration))) }
    }

    #[inline]
    pub(crate) const fn millis_since(self, earlier: Self) -> u32 {
        let span = self.0.wrapping_sub(earlier.0);
        if span > Self::MAX_SPAN { 0 } else { span }
    }

    /// Returns whether this point has been reached at `now`.
    #[inline]
    pub(crate) const fn has_come(self, now: Self) -> bool {
        self.millis_since(now) == 0
    }

    #[inline]
    pub(crate) const fn plus_millis(self, millis: u32) -> Self {
        Self(self.0.wrapping_add(millis))
    }
}

/// Converts a time-out to milliseconds; zero means none.
pub(crate) const fn millis(duration: Option<Duration>) -> u32 {
    let Some(duration) = duration else { return 0 };
    let millis = duration.as_millis();
    if millis == 0 {
        1
    } else if millis > Instant::MAX_TIMEOUT as u128 {
        Instant::MAX_TIMEOUT
    } else {
        millis as u32
    }
}
