//! Commits the fault that its argument names, so that it shows whether a sanitiser reports it. `none` uses the locks, the
//! channels and the waiting of `std` as a correct program does, and must not be reported.

use std::hint::black_box;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

/// An address that threads share although nothing orders their writes.
#[derive(Clone, Copy)]
struct Shared(*mut u64);

// SAFETY: this is the fault.
unsafe impl Send for Shared {}

fn race() {
    let shared = Shared(Box::into_raw(Box::new(0)));
    let threads = [shared; 2].map(|shared| {
        thread::spawn(move || {
            let shared = shared;
            for n in 0..1000 {
                // SAFETY: the address is valid. The other thread writes there, too, which is the fault.
                unsafe { shared.0.write_volatile(n) };
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // SAFETY: both threads have ended.
    drop(unsafe { Box::from_raw(shared.0) });
}

fn use_after_free() {
    let address = Box::into_raw(Box::new(7_u64));
    // SAFETY: the address came from a box.
    drop(unsafe { Box::from_raw(black_box(address)) });
    // SAFETY: none: this is the fault.
    black_box(unsafe { black_box(address).read_volatile() });
}

fn leak() {
    // On a thread of its own, so that no register or stack still has the address at the end.
    let leaking = thread::spawn(|| {
        black_box(Box::into_raw(Box::new([7_u64; 100])));
    });
    leaking.join().unwrap();
}

/// The lock is contended, so that threads wait for it in `std`; the bytes that it guards, and those that go through the
/// channel, are written by other threads than read them.
fn none() {
    let counter = Arc::new(Mutex::new(vec![0_u64; 8]));
    let (tell, told) = mpsc::channel();
    let threads: Vec<_> = (0..8)
        .map(|at| {
            let (counter, tell) = (counter.clone(), tell.clone());
            thread::spawn(move || {
                for n in 0..2000 {
                    let mut counter = counter.lock().unwrap();
                    counter.iter_mut().for_each(|number| *number += 1);
                    drop(counter);
                    tell.send(vec![at, n]).unwrap();
                }
                thread::park();
            })
        })
        .collect();
    drop(tell);
    let sum: u64 = told.iter().take(8 * 2000).map(|numbers| numbers[1]).sum();
    assert_eq!(sum, 8 * (0..2000).sum::<u64>());
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    assert_eq!(*counter.lock().unwrap(), [8 * 2000; 8]);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("none") => none(),
        Some("race") => race(),
        Some("use-after-free") => use_after_free(),
        Some("leak") => leak(),
        other => panic!("{other:?} is none of none, race, use-after-free, leak"),
    }
}
