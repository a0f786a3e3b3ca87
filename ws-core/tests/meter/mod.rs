//! An allocator that counts, for tests of memory.
#![allow(dead_code, reason = "each test file uses a part of it")]

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

struct Counting;

#[derive(Clone, Copy, Default)]
struct Count {
    live: isize,
    peak: isize,
    largest: usize,
    calls: usize,
    allocated: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { live: 0, peak: 0, largest: 0, calls: 0, allocated: 0 }) };
}

fn count(freed: usize, allocated: usize) {
    let _ = COUNT.try_with(|cell| {
        let mut count = cell.get();
        count.live += allocated as isize - freed as isize;
        count.peak = count.peak.max(count.live);
        if allocated > 0 {
            count.largest = count.largest.max(allocated);
            count.calls += 1;
            count.allocated += allocated;
        }
        cell.set(count);
    });
}

// SAFETY: every call goes to the system's allocator as it came; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread has allocated since it was made.
pub(crate) struct Meter(Count);

impl Meter {
    pub(crate) fn new() -> Self {
        let mut now = COUNT.get();
        (now.peak, now.largest) = (now.live, 0);
        COUNT.set(now);
        Self(now)
    }

    pub(crate) fn live(&self) -> usize {
        usize::try_from(COUNT.get().live - self.0.live).unwrap_or(0)
    }

    /// How much less there is.
    pub(crate) fn freed(&self) -> usize {
        usize::try_from(self.0.live - COUNT.get().live).unwrap_or(0)
    }

    pub(crate) fn peak(&self) -> usize {
        usize::try_from(COUNT.get().peak - self.0.live).unwrap_or(0)
    }

    pub(crate) fn largest(&self) -> usize {
        COUNT.get().largest
    }

    pub(crate) fn calls(&self) -> usize {
        COUNT.get().calls - self.0.calls
    }

    /// All bytes that were allocated, those that a block grew from as well.
    pub(crate) fn allocated(&self) -> usize {
        COUNT.get().allocated - self.0.allocated
    }
}
