//! What `bench/run.py` cannot measure from outside: the machine's limits, and the products of the CPU engine alone.

mod limits;
mod products;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use half::f16;
use serde_json::{Value, json};
use terminal::{Console, Verbosity};
use train::cpu::kernel::Processor;
use train::cpu::panels::{HalfLine, Line};
use train::cpu::pool::Pool;

/// Measure the machine's limits, or the matrix products of the CPU engine; prints JSON
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Threads
    #[arg(long, default_value_t = 1, global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds of each measurement
    #[arg(long, default_value = "0.5", global = true, value_parser = duration)]
    seconds: Duration,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Subcommand)]
enum What {
    /// Multiply-adds a second in registers, and bytes a second through memory
    Limits,
    /// The products of a training step: forward, gradient by the input, gradient by the weight
    Products {
        /// Images in a step
        #[arg(long)]
        batch: NonZeroUsize,
        /// Widths: input, hidden layers, output
        #[arg(long, value_delimiter = ',')]
        sizes: Vec<NonZeroUsize>,
        /// With operands in half precision
        #[arg(long)]
        halves: bool,
    },
}

/// A processor with a pool, and how long to measure on them.
struct Bench {
    processor: Processor,
    pool: Pool,
    duration: Duration,
}

impl Bench {
    /// Repeats `work` for the time given, at least five times after a first that does not count. Returns the median of its
    /// seconds.
    fn median_seconds(&mut self, mut work: impl FnMut(Processor, &mut Pool)) -> f64 {
        work(self.processor, &mut self.pool);
        let start = Instant::now();
        let mut seconds = Vec::new();
        while seconds.len() < 5 || start.elapsed() < self.duration {
            let start = Instant::now();
            work(self.processor, &mut self.pool);
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let Arguments { what, threads, seconds, verbosity } = Arguments::parse();
    let console = Console::new(verbosity);
    console.finish(measure(&what, threads, seconds).map(|found| console.data(found.to_string())))
}

fn measure(what: &What, threads: u16, duration: Duration) -> Result<Value, train::Error> {
    let threads = usize::from(threads);
    let pool = Pool::new(threads).map_err(|source| train::Error::Threads { threads, source })?;
    let processor = Processor::available()[0];
    let mut bench = Bench { processor, pool, duration };
    let found = match what {
        What::Limits => limits::measure(&mut bench),
        What::Products { batch, sizes, halves: false } => products::measure::<Line>(&mut bench, *batch, sizes, Line),
        What::Products { batch, sizes, halves: true } => {
            products::measure(&mut bench, *batch, sizes, |values| HalfLine(values.map(f16::from_f32)))
        }
    };
    let machine = json!({ "processor": processor.name(), "has_halves": processor.has_halves() });
    Ok(json!({ "machine": machine, "threads": threads, "found": found }))
}
