//! Threads that share the tasks of a phase.
//!
//! A training step has a handful of phases that follow each other within microseconds, so a thread that finds nothing to
//! do looks again for a moment before it sleeps. It sleeps soon: on a processor with other work, a thread that waits
//! awake takes the time of the one that it waits for.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// How long a thread looks for work, or waits for the others' last tasks, before it sleeps.
const SPIN: Duration = Duration::from_micros(300);

/// Threads that wait for tasks, beside the one that gives them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

type Task<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// For each thread, the giver first, the tasks of the phase that it has not taken and nobody has taken from it.
    left: Box<[Left]>,
    /// What a task of the phase does. Written by [`Pool::run`] while no task is left to be taken and none is running.
    work: UnsafeCell<*const Task<'static>>,
    /// Tasks of the phase that are not over.
    unfinished: AtomicUsize,
    /// Whether the giver of the tasks sleeps until they are over.
    giver_sleeps: AtomicBool,
    sleep: Mutex<()>,
    over: Condvar,
    panicked: AtomicBool,
    /// Whether each worker sleeps.
    sleeps: Box<[AtomicBool]>,
    closing: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("unfinished", &self.unfinished).finish_non_exhaustive()
    }
}

// SAFETY: `work` is written only by `Pool::run`, which has the pool to itself (`&mut`), before it publishes
// tasks with a release store of `left`, and read only by who has taken one of those tasks (an acquire of `left`); `run`
// does not return, nor write again, before every task is over. What `work` points to may be shared (`Sync`).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Takes a task of the phase, where one is left: its own, else the last one of another thread.
    fn take(&self, thread: usize) -> Option<usize> {
        let others = self.left[thread + 1..].iter().chain(&self.left[..thread]);
        self.left[thread].take_first().or_else(|| others.into_iter().find_map(Left::take_last))
    }

    /// Whether one is left.
    fn is_left(&self) -> bool {
        self.left.iter().any(|left| !left.tasks().is_empty())
    }

    /// Does tasks until none is left.
    fn work(&self, thread: usize) {
        while let Some(task) = self.take(thread) {
            let done = Done(self);
            // SAFETY: a task was taken, so `run` has published the work and waits until `done` is dropped.
            let work = unsafe { &**self.work.get() };
            work(task);
            drop(done);
        }
    }
}

/// Consecutive tasks: the end in the high half, the start in the low half. Alone on its lines of the cache, the one that
/// processors like to read along included.
#[repr(align(128))]
struct Left(AtomicU64);

impl Left {
    fn tasks(&self) -> Range<u64> {
        Self::unpacked(self.0.load(Ordering::SeqCst))
    }

    const fn unpacked(tasks: u64) -> Range<u64> {
        tasks & u32::MAX as u64..tasks >> 32
    }

    /// Sequentially consistent against a worker's going to sleep: it sees the tasks, or is seen asleep.
    fn set(&self, tasks: Range<u64>) {
        self.0.store(tasks.end << 32 | tasks.start, Ordering::SeqCst);
    }

    fn take_first(&self) -> Option<usize> {
        self.take(|tasks| (tasks.start, tasks.start + 1..tasks.end))
    }

    fn take_last(&self) -> Option<usize> {
        self.take(|tasks| (tasks.end - 1, tasks.start..tasks.end - 1))
    }

    fn take(&self, divide: impl Fn(Range<u64>) -> (u64, Range<u64>)) -> Option<usize> {
        let without = |tasks| {
            let tasks = Self::unpacked(tasks);
            (!tasks.is_empty()).then(|| divide(tasks).1).map(|rest| rest.end << 32 | rest.start)
        };
        let before = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, without).ok()?;
        Some(divide(Self::unpacked(before)).0 as usize)
    }
}

/// Counts a task as over, even if it panics.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        // Sequentially consistent against the giver's going to sleep: it sees the zero, or is seen asleep.
        if self.0.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.giver_sleeps.load(Ordering::SeqCst) {
            let _awake = self.0.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.over.notify_one();
        }
    }
}

impl Pool {
    /// A pool of so many threads, the calling one included.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(threads: usize) -> io::Result<Self> {
        const NOTHING: &Task<'static> = &|_| {};
        let helpers = threads.saturating_sub(1);
        let shared = Arc::new(Shared {
            left: (0..=helpers).map(|_| Left(AtomicU64::new(0))).collect(),
            work: UnsafeCell::new(NOTHING),
            unfinished: AtomicUsize::new(0),
            giver_sleeps: AtomicBool::new(false),
            sleep: Mutex::new(()),
            over: Condvar::new(),
            panicked: AtomicBool::new(false),
            sleeps: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
            closing: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::with_capacity(helpers) };
        for index in 0..helpers {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("cpu-engine-{}", index + 1));
            pool.workers.push(thread.spawn(move || help(&shared, index + 1))?);
        }
        Ok(pool)
    }

    /// The number of threads, the calling one included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` with every number below `tasks`, each once, on all threads. Returns when all calls are over; what they
    /// wrote is seen by the caller.
    ///
    /// The tasks are divided evenly among the threads in their order, and who has done its own helps another: phases whose
    /// tasks are in corresponding orders find in a thread's cache what it had there.
    ///
    /// # Panics
    /// When a call does.
    pub fn run(&mut self, tasks: usize, work: &Task<'_>) {
        if self.workers.is_empty() || tasks <= 1 {
            return (0..tasks).for_each(work);
        }
        let shared = &*self.shared;
        assert!(u32::try_from(tasks).is_ok(), "a phase has fewer than 2³² tasks");
        // SAFETY: only the lifetime changes; no call is made after this function returns (see `Shared`).
        let work = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(work) };
        // SAFETY: no task is left and none is running, so nobody reads it.
        unsafe { *shared.work.get() = work };
        shared.unfinished.store(tasks, Ordering::Relaxed);
        let share = |thread: usize| (tasks * thread / shared.left.len()) as u64;
        // Last the caller's own: the others begin before it does.
        for (thread, left) in shared.left.iter().enumerate().rev() {
            left.set(share(thread)..share(thread + 1));
        }
        for (sleeps, worker) in shared.sleeps.iter().zip(&self.workers) {
            if sleeps.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        // A panic of this thread's own task must not return before the others' are over.
        let own = catch_unwind(AssertUnwindSafe(|| shared.work(0)));
        if own.is_err() {
            while shared.take(0).is_some() {
                drop(Done(shared));
            }
        }
        shared.wait();
        if let Err(panic) = own {
            shared.panicked.store(false, Ordering::Relaxed);
            resume_unwind(panic);
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a task panicked");
    }
}

impl Shared {
    /// Waits until no task is unfinished.
    fn wait(&self) {
        if spin(|| self.unfinished.load(Ordering::Acquire) == 0) {
            return;
        }
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.giver_sleeps.store(true, Ordering::SeqCst);
        while self.unfinished.load(Ordering::SeqCst) != 0 {
            sleep = self.over.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.giver_sleeps.store(false, Ordering::SeqCst);
    }
}

/// Looks for a moment whether it is so.
fn spin(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..64 {
            if is_so() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            return false;
        }
    }
}

/// What a worker does until the pool closes.
fn help(shared: &Shared, thread: usize) {
    let is_awaited = || shared.is_left() || shared.closing.load(Ordering::SeqCst);
    while !shared.closing.load(Ordering::Relaxed) {
        if spin(is_awaited) {
            shared.work(thread);
            continue;
        }
        shared.sleeps[thread - 1].store(true, Ordering::SeqCst);
        while !is_awaited() {
            thread::park();
        }
        shared.sleeps[thread - 1].store(false, Ordering::SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker that panicked has been reported by `run`.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_whatever_the_threads_and_pauses() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for round in 0..200 {
                let tasks = round % 23;
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                if round % 20 == 0 {
                    // Long enough for all to fall asleep.
                    thread::sleep(SPIN * 4);
                }
            }
        }
    }

    #[test]
    fn a_task_s_panic_reaches_the_caller_after_all_others_are_over() {
        let mut pool = Pool::new(3).unwrap();
        let over = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(20, &|task| {
                assert!(task != 7, "task seven fails");
                thread::sleep(Duration::from_millis(1));
                over.fetch_add(1, Ordering::Relaxed);
            });
        }));
        let seen = over.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(30));
        assert!(result.is_err() && over.load(Ordering::Relaxed) == seen);
        pool.run(20, &|_| {
            over.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(over.load(Ordering::Relaxed), seen + 20);
    }
}
