//! `evaluate`: judges an ONNX model on images that it has not seen. See the library for what it does.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use evaluate::Options;
use evaluate::textbook::{self, Question};
use terminal::{Console, Verbosity};

/// Judge a run's ONNX model on the test split with onnxruntime
///
/// Compares the model's logits with the trainer's own first, then classifies the split and writes a report: accuracy
/// and other measures with their 95 % intervals, by font where names tell fonts, the confusion matrix, and for each class
/// prior, recall (sensitivity), false alarm rate, precision (posterior) and F1, and what other thresholds give. Times go to a file of their own, so the report is the same bytes each time.
///
/// `evaluate bayes` answers the textbook question alone: see `evaluate bayes --help`.
#[derive(Parser)]
#[command(version, max_term_width = 100, args_override_self = true, allow_negative_numbers = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    verbosity: Verbosity,
}

/// Answer by Bayes' theorem: after these test results, how probable is it that the thing is there?
///
/// Each step is shown on stderr; the posterior alone goes to stdout. Several results take the tests as independent given T, and
/// given not T: what one says tells of another only through T.
#[derive(Parser)]
#[command(
    name = "evaluate bayes",
    bin_name = "evaluate bayes",
    version,
    max_term_width = 100,
    args_override_self = true,
    allow_negative_numbers = true
)]
struct BayesArguments {
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "bayes") {
        let BayesArguments { question, verbosity } = BayesArguments::parse_from(&arguments[1..]);
        let console = Console::new(verbosity);
        return console.finish(textbook::answer(&question, &console));
    }
    let arguments = Arguments::parse_from(arguments);
    leave_no_telemetry();
    let console = Console::new(arguments.verbosity);
    console.end_on_signals(files::remove_unfinished, None);
    make_onnxruntime_heard();
    console.finish(evaluate::run(&arguments.options, &console))
}

/// onnxruntime collects what ran where in the home folder, to be sent; asking its interface to stop comes too late for that.
fn leave_no_telemetry() {
    // SAFETY: nothing but this thread runs yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// onnxruntime's own warnings and errors, which `ort` hands on as events, go to stderr.
fn make_onnxruntime_heard() {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_target(true)
        .without_time()
        .init();
}
