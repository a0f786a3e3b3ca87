//! The orders in which shuttle lets threads go on. Each function prints how many it has tried; `conformance/schedules` adds them
//! up.

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

/// How many orders most tests try.
const ORDERS: usize = 5_000;

/// Tries orders in which any thread goes on at each step.
pub(crate) fn at_random(run: impl Fn() + Send + Sync + 'static) {
    at_random_times(1, run);
}

/// Does the same, and tries so many times as many orders.
pub(crate) fn at_random_times(times: usize, run: impl Fn() + Send + Sync + 'static) {
    try_orders(RandomScheduler::new(times * ORDERS), run);
}

/// Tries orders in which threads have priorities that change three times.
pub(crate) fn with_few_switches(run: impl Fn() + Send + Sync + 'static) {
    try_orders(PctScheduler::new(3, ORDERS), run);
}

/// Tries one order after the other, as in a search by depth, which changes the last steps first. `run` makes no random choices.
pub(crate) fn one_by_one(run: impl Fn() + Send + Sync + 'static) {
    try_orders(DfsScheduler::new(Some(ORDERS), false), run);
}

fn try_orders(scheduler: impl Scheduler + 'static, run: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    let count = Runner::new(scheduler, config).run(run);
    println!("{count} orders: {}", std::thread::current().name().unwrap_or_default());
}

/// Lets the other threads go on for some time. Otherwise the shortest thread would always end first.
pub(crate) fn let_others_go_on() {
    for _ in 0..thread_rng().gen_range(0..40) {
        thread::yield_now();
    }
}
