//! The machine's limits.

use serde_json::{Value, json};
use train::cpu::kernel::{Family, Phase};
use train::cpu::panels::{LANES, Line, Shared};

use crate::Bench;

/// Multiply-adds on so many lines in registers: enough for each to wait for nothing.
struct MultiplyAdd<'a, const N: usize> {
    tasks: usize,
    sums: Shared<'a, Line>,
}

/// Multiply-adds of each line in a task.
const ROUNDS: usize = 1 << 20;

impl<const N: usize> Phase for MultiplyAdd<'_, N> {
    fn tasks(&self) -> usize {
        self.tasks
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let (factor, addend) = (0.999_999, 1e-7);
        // All different, so that no two sums are one.
        let mut lines: [Line; N] = std::array::from_fn(|line| Line([(task * N + line) as f32; LANES]));
        for _ in 0..ROUNDS {
            for line in &mut lines {
                line.0.iter_mut().for_each(|value| *value = value.mul_add(factor, addend));
            }
        }
        let mut sum = Line::ZERO;
        for line in lines {
            sum.0.iter_mut().zip(line.0).for_each(|(sum, value)| *sum += value);
        }
        // SAFETY: each task has a line of its own.
        unsafe { *self.sums.part(task) = [sum] };
    }
}

/// A copy through memory.
struct Copy<'a> {
    from: &'a [Line],
    to: Shared<'a, Line>,
}

/// Lines of a task: 1 MiB.
const COPIED: usize = 1 << 14;

impl Phase for Copy<'_> {
    fn tasks(&self) -> usize {
        self.from.len() / COPIED
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let start = task * COPIED;
        // SAFETY: each task has its own lines.
        let to = unsafe { self.to.part::<COPIED>(start) };
        to.copy_from_slice(&self.from[start..start + COPIED]);
    }
}

/// Multiply-adds in GFLOP/s (two operations each), and GB/s copied (bytes read and written).
pub fn measure(bench: &mut Bench) -> Value {
    let threads = bench.pool.threads();
    // What the family has registers for is not asked: it is what goes faster.
    let (few, many) = (multiply_adds::<6>(bench, threads), multiply_adds::<12>(bench, threads));
    let from = vec![Line([1.0; LANES]); 256 * COPIED];
    let mut to = vec![Line([0.0; LANES]); from.len()];
    let mut copy = Copy { from: &from, to: Shared::new(&mut to) };
    let seconds = bench.median_seconds(|processor, pool| processor.run(pool, &mut copy));
    json!({
        "multiply_add_gflops": few.max(many),
        "copy_gb_per_second": 2.0 * size_of_val(&from[..]) as f64 / seconds / 1e9,
    })
}

fn multiply_adds<const N: usize>(bench: &mut Bench, threads: usize) -> f64 {
    let mut sums = vec![Line([0.0; LANES]); threads];
    let mut phase = MultiplyAdd::<N> { tasks: threads, sums: Shared::new(&mut sums) };
    let seconds = bench.median_seconds(|processor, pool| processor.run(pool, &mut phase));
    (2 * LANES * N * ROUNDS * threads) as f64 / seconds / 1e9
}

#[cfg(test)]
mod tests {
    use train::cpu::kernel::Processor;
    use train::cpu::pool::Pool;

    use super::*;

    #[test]
    fn what_is_timed_is_done_by_every_family_for_every_task() {
        let mut pool = Pool::new(3).unwrap();
        let from: Vec<Line> = (0..5 * COPIED).map(|line| Line([line as f32; LANES])).collect();
        let expected = (0..ROUNDS).fold(0.0_f32, |value, _| value.mul_add(0.999_999, 1e-7));
        for processor in Processor::available() {
            let mut to = vec![Line([0.0; LANES]); from.len()];
            processor.run(&mut pool, &mut Copy { from: &from, to: Shared::new(&mut to) });
            assert!(to.iter().zip(&from).all(|(to, from)| to.0 == from.0), "{}", processor.name());

            let mut sums = vec![Line([f32::NAN; LANES]); 4];
            processor.run(&mut pool, &mut MultiplyAdd::<1> { tasks: 4, sums: Shared::new(&mut sums) });
            // The first task begins at 0, and all go towards 0.1.
            assert_eq!(sums[0].0, [expected; LANES], "{}", processor.name());
            assert!(
                sums.iter().all(|sum| sum.0.iter().all(|value| (0.0..4.0).contains(value))),
                "{}",
                processor.name()
            );
        }
    }
}
