//! Threads for work of microseconds, as decoding a token consists of.
//!
//! rayon puts its threads to sleep between two products and takes tens of microseconds to wake
//! them. Here a thread that has just worked looks out for more for [`SPINS`] turns before it
//! sleeps, so that while a model is computing a hand-over costs no system call, and
//! none spins while nothing is computed.
//!
//! Any number of callers may come at once: one gets the threads, the others compute on their own. A
//! thread that is late (the system runs something else on its core) is not waited for.
//! [`with_limit`] caps the threads of a caller.
#![expect(unsafe_code, reason = "lending a closure to threads that outlive it")]

use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};

/// Calls `work` for ranges that together make `0..count`, each a multiple of `grain` but for the last,
/// on as many threads as there are and are free. Ranges become shorter towards the end: long ones keep
/// memory streaming, short ones let threads end together.
pub(crate) fn for_each(count: usize, grain: usize, work: impl Fn(Range<usize>) + Sync) {
    global().for_each(LIMIT.get(), count, grain, work);
}

/// Calls `work`, whose calls of [`for_each`] on this thread work on at most `limit` threads.
pub(crate) fn with_limit<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    struct Restore(usize);

    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }

    let _restore = Restore(LIMIT.replace(limit.max(1)));
    work()
}

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// How many threads [`for_each`] works on at most: `RAYON_NUM_THREADS`, else as many as this
/// process may use, which on Linux respects the quota of its control group. Fewer [`with_limit`].
pub(crate) fn threads() -> usize {
    (global().workers.len() + 1).min(LIMIT.get())
}

/// The `grain` for `count` steps of `work` products of numbers each: small enough that a slow thread
/// is not waited for long, and large enough to be worth a hand-over.
pub(crate) fn grain(count: usize, work: usize) -> usize {
    (count / (64 * threads())).clamp(1, 16).max(SMALLEST_WORK / work.max(1))
}

/// Products of numbers that one thread does in less time than a hand-over takes.
pub(crate) const SMALLEST_WORK: usize = 1 << 15;

fn global() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
        let available = || thread::available_parallelism().map_or(1, usize::from);
        Pool::new(asked.filter(|&threads| threads > 0).unwrap_or_else(available))
    })
}

struct Pool {
    shared: &'static Shared,
    workers: Vec<Thread>,
}

type Job = dyn Fn() + Sync;

struct Shared {
    /// The number of the job, whether it may be joined, and how many have.
    state: AtomicU64,
    /// How many may join. Written before a job is opened: who reads that of a later job fails to join
    /// the earlier.
    seats: AtomicU64,
    job: UnsafeCell<Option<*const Job>>,
    /// Whether some caller has the threads.
    busy: AtomicBool,
    sleeping: AtomicUsize,
    panicked: AtomicBool,
}

// SAFETY: `job` is written by the caller that holds `busy`, while no worker has joined, and read by
// workers that have.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is to a `Sync` closure.
unsafe impl Send for Shared {}

/// In [`Shared::state`]: the job may be joined.
const OPEN: u64 = 1 << 31;
/// In [`Shared::state`]: the number of those who have joined.
const JOINED: u64 = OPEN - 1;
/// Added to [`Shared::state`] for the next job.
const NEXT: u64 = 1 << 32;

/// Turns a thread looks out for work before it sleeps: some 50 microseconds.
const SPINS: usize = 2000;
/// Turns a caller waits for those who have joined before it lets others run.
const PATIENCE: usize = 20_000;

impl Pool {
    fn new(threads: usize) -> Self {
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            state: AtomicU64::new(0),
            seats: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            busy: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        }));
        let spawn = |number: usize| {
            let thread = thread::Builder::new().name(format!("sconce-{number}"));
            thread.spawn(move || shared.work()).ok().map(|handle| handle.thread().clone())
        };
        // Where the system gives no more threads, those there are have to do.
        Self { shared, workers: (1..threads).map_while(spawn).collect() }
    }

    fn for_each(
        &self,
        limit: usize,
        count: usize,
        grain: usize,
        work: impl Fn(Range<usize>) + Sync,
    ) {
        let grain = grain.max(1);
        let others = self.workers.len().min(limit - 1);
        if count <= grain || others == 0 {
            return (0..count)
                .step_by(grain)
                .for_each(|start| work(start..count.min(start + grain)));
        }
        let (grains, next) = (count.div_ceil(grain), AtomicUsize::new(0));
        // Half of what would be one thread's share of the rest.
        let share = |start: usize| ((grains - start) / (2 * (others + 1))).max(1);
        self.run(others, &|| {
            let take = |start| (start < grains).then(|| start + share(start));
            while let Ok(start) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                work(start * grain..count.min((start + share(start)) * grain));
            }
        });
    }

    /// Calls `job` on this thread and on up to `others` other threads that are free, all at the
    /// same time.
    fn run(&self, others: usize, job: &(dyn Fn() + Sync)) {
        let shared = self.shared;
        if shared.busy.swap(true, Ordering::Acquire) {
            return job();
        }
        // SAFETY: `busy` is ours and nobody has joined, so nobody reads. The pointer outlives the
        // borrow only in type: below, nobody is let in any more and all who came in are waited for.
        unsafe {
            let job: *const (dyn Fn() + Sync + '_) = job;
            *shared.job.get() =
                Some(std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const Job>(job));
        }
        shared.seats.store(others as u64, Ordering::Relaxed);
        let open = (shared.state.load(Ordering::Relaxed) & !(NEXT - 1)).wrapping_add(NEXT) | OPEN;
        shared.state.store(open, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            // Awake ones may take the seats; then some wake for nothing.
            self.workers.iter().for_each(Thread::unpark);
        }
        let outcome = panic::catch_unwind(AssertUnwindSafe(job));
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0;
        while shared.state.load(Ordering::Acquire) & JOINED != 0 {
            turns += 1;
            if turns < PATIENCE { hint::spin_loop() } else { thread::yield_now() }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.busy.store(false, Ordering::Release);
        match outcome {
            Err(cause) => panic::resume_unwind(cause),
            Ok(()) if panicked => panic::resume_unwind(Box::new("a kernel's thread panicked")),
            Ok(()) => {}
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut seen = 0;
        loop {
            seen = self.join(seen);
            // SAFETY: joined: the caller has written the job before it opened it, and waits for us
            // before it goes away.
            if let Some(job) = unsafe { *self.job.get() }
                // SAFETY: as above.
                && panic::catch_unwind(AssertUnwindSafe(|| unsafe { (*job)() })).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job other than number `seen` and joins it; returns its number.
    fn join(&self, seen: u64) -> u64 {
        let mut spins = 0;
        loop {
            if let Some(joined) = self.try_join(seen) {
                return joined;
            }
            spins += 1;
            if spins < SPINS {
                hint::spin_loop();
                continue;
            }
            self.sleeping.fetch_add(1, Ordering::SeqCst);
            // A caller that saw nobody asleep has opened its job before this look.
            let joined = self.try_join(seen);
            if joined.is_none() {
                thread::park();
            }
            self.sleeping.fetch_sub(1, Ordering::SeqCst);
            if let Some(joined) = joined {
                return joined;
            }
            spins = 0;
        }
    }

    fn try_join(&self, seen: u64) -> Option<u64> {
        let state = self.state.load(Ordering::SeqCst);
        let number = state / NEXT;
        (state & OPEN != 0
            && number != seen
            && state & JOINED < self.seats.load(Ordering::Relaxed)
            && self
                .state
                .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok())
        .then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of_squares(count: usize, grain: usize) -> usize {
        let sum = AtomicUsize::new(0);
        for_each(count, grain, |range| {
            sum.fetch_add(range.map(|i| i * i).sum(), Ordering::Relaxed);
        });
        sum.into_inner()
    }

    #[test]
    fn everything_is_done_once_whoever_calls() {
        let expected = |count: usize| (0..count).map(|i| i * i).sum::<usize>();
        thread::scope(|scope| {
            for caller in 0..8 {
                scope.spawn(move || {
                    for round in 0..300 {
                        let count = (caller * 31 + round * 7) % 97;
                        assert_eq!(sum_of_squares(count, 1 + round % 5), expected(count));
                    }
                });
            }
        });
    }

    #[test]
    fn no_more_threads_work_than_asked_for() {
        let pool = Pool::new(4);
        for limit in [1, 2, 3, 9] {
            for _ in 0..50 {
                let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let sum = AtomicUsize::new(0);
                pool.for_each(limit, 40, 1, |range| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    sum.fetch_add(range.sum(), Ordering::Relaxed);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                });
                assert_eq!(sum.into_inner(), 780);
                assert!(most.into_inner() <= limit);
            }
        }
    }

    #[test]
    fn a_limit_ends_with_its_work() {
        let all = threads();
        let limited = with_limit(1, || {
            let caller = thread::current().id();
            for_each(50, 1, |_| assert_eq!(thread::current().id(), caller));
            (threads(), with_limit(2, threads))
        });
        assert_eq!(limited, (1, all.min(2)));
        assert!(panic::catch_unwind(|| with_limit(1, || panic!())).is_err());
        assert_eq!(threads(), all);
    }

    #[test]
    fn work_inside_of_work_is_done() {
        let sum = AtomicUsize::new(0);
        for_each(10, 1, |range| {
            sum.fetch_add(range.len() * sum_of_squares(20, 3), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 10 * 2470);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let panicking = || for_each(64, 1, |mut range| assert!(range.all(|item| item != 40)));
        assert!(panic::catch_unwind(panicking).is_err());
        assert_eq!(sum_of_squares(20, 1), 2470);
    }
}
