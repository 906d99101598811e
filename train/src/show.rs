//! What a training shows.

use std::thread;

use artifacts::{EpochMetrics, EpochTiming, ModelDescription, RunDirectory, TrainingRecord, Weights, sequential_place};
use clap::ValueEnum as _;
use terminal::{Align, Console, Table, counted, grouped};

use crate::cpu::kernel::Processor;
use crate::cuda;
use crate::data::Data;
use crate::engine::Engine;
use crate::options::{Hyperparameters, LossName, Options};
use crate::state::Progress;

/// What is trained on what, and how.
pub fn configuration(options: &Options, data: &Data, engine: &dyn Engine, console: &Console) {
    let mut table = Table::of_settings();
    table.row(["dataset", &data.dataset.name]);
    table.row(["images", &format!("{} to train on, {} to validate on", data.train.len(), data.valid.len())]);
    table.row(["classes", &data.dataset.classes.join(" ")]);
    if let Some(recipe) = options.recipe.and_then(|recipe| recipe.to_possible_value()) {
        table.row(["recipe", recipe.get_name()]);
    }
    for (name, value) in options.hyperparameters.by_name() {
        let value = match (name.as_str(), &value) {
            ("hidden", _) => options.hyperparameters.hidden.to_string(),
            ("label_smoothing", value) if options.hyperparameters.loss == LossName::GeneralizedCrossEntropy => {
                format!("{value}, of which this loss takes none")
            }
            ("patience", value) if value.is_null() => "none: all epochs, the last weights".to_owned(),
            ("warmup", value) if value.is_null() => "the schedule's".to_owned(),
            ("ema_decay", value) if value.is_null() => "none: no average".to_owned(),
            (name, value) if value.is_null() && name.starts_with("augment_") => "that of augment".to_owned(),
            (_, value) if value.is_null() => "none".to_owned(),
            (_, value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
        table.row([name.replace('_', " "), value]);
    }
    table.row(["engine", &engine.description()]);
    console.table(&table);
}

/// What this machine offers, a line an engine or library.
pub fn engines(offer: &cuda::Offer, console: &Console) {
    let mut table =
        Table::new(&[("", Align::Left), ("engine", Align::Left), ("what", Align::Left), ("where", Align::Left)]);
    let mark = |is_there: bool| if is_there { "✓" } else { "✗" }.to_owned();
    let processor = Processor::available()[0].name();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    table.row([mark(true), "cpu".into(), format!("{processor}, {threads} processors"), String::new()]);
    for line in &offer.lines {
        table.row([mark(line.is_there), "cuda".into(), line.what.clone(), line.place.clone()]);
    }
    console.table(&table);
    if let Some(hint) = &offer.hint {
        console.say(format!("hint: {hint}"));
    }
}

/// The layers of what comes of a training, as torchinfo shows them. A multiplication and an addition are two FLOPs.
pub fn summary(model: &ModelDescription, hyperparameters: &Hyperparameters, console: &Console) {
    if hyperparameters.copies().get() > 1 {
        let Hyperparameters { ensemble, hidden, .. } = hyperparameters;
        let networks = counted(u64::from(*ensemble), "network");
        let shifts = match (hyperparameters.shifts().count(), ensemble) {
            (1, _) => String::new(),
            (shifts, 1) => format!(", for {shifts} shifts of the image,"),
            (shifts, _) => format!(", each for {shifts} shifts of the image,"),
        };
        let verb = if *ensemble == 1 { "becomes" } else { "become" };
        console.say(format!("train: {networks} with hidden layers {hidden}{shifts} {verb} one:"));
    }
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("output shape", Align::Right),
        ("parameters", Align::Right),
        ("bytes", Align::Right),
        ("FLOPs a sample", Align::Right),
    ]);
    let count = |number: usize| grouped(number as u64);
    let layers = model.layers();
    let mut all_flops = 0;
    for (index, layer) in layers.iter().enumerate() {
        let [outputs, inputs] = layer.weight();
        let flops = 2 * outputs * inputs + outputs;
        all_flops += flops;
        let shape = format!("[N, {outputs}]");
        let place = sequential_place(index);
        let name = match layer.groups.get() {
            1 => format!("{place} Linear"),
            groups => format!("{place} Linear in {groups} groups"),
        };
        let parameters = layer.parameters();
        table.row([name, shape.clone(), count(parameters), count(4 * parameters), count(flops)]);
        if index + 1 < layers.len() {
            all_flops += outputs;
            table.row([format!("{} ReLU", place + 1), shape, "0".into(), "0".into(), count(outputs)]);
        }
    }
    let parameters = model.parameters();
    table.row([
        "all".into(),
        format!("[N, {}]", model.classes.len()),
        count(parameters),
        count(4 * parameters),
        count(all_flops),
    ]);
    console.table(&table);
}

/// A line an epoch.
pub fn epoch(epochs: usize, metrics: &EpochMetrics, timing: &EpochTiming, console: &Console) {
    let digits = epochs.to_string().len();
    let averaged = metrics.averaged_valid_accuracy.map(|accuracy| format!(" (averaged {:.2} %)", accuracy * 100.0));
    let averaged = averaged.unwrap_or_default();
    console.say(format!(
        "epoch {:>digits$}/{epochs}  loss {:.4}  valid loss {:.4}  valid accuracy {:.2} %{averaged}  {:>9} images/s  {:.1} s",
        metrics.epoch,
        metrics.train_loss,
        metrics.valid_loss,
        metrics.valid_accuracy * 100.0,
        grouped(timing.images_per_second as u64),
        timing.train_seconds + timing.valid_seconds,
    ));
}

/// What came of it.
pub fn result(
    run: &RunDirectory,
    progress: &Progress,
    hyperparameters: &Hyperparameters,
    record: &TrainingRecord,
    console: &Console,
) {
    if progress.epochs() < hyperparameters.epochs && progress.stopped_early(hyperparameters) {
        let patience = hyperparameters.patience.unwrap_or_default();
        console.say(format!("train: stopped early, {patience} epochs after the lowest validation loss"));
    }
    let weights = match record.kept_weights {
        Weights::Trained => "",
        Weights::Averaged => "the average of the weights at ",
    };
    console.say(format!(
        "train: kept {weights}epoch {} with valid loss {:.4} and valid accuracy {:.2} %: `{}`",
        record.kept_epoch,
        record.valid_loss,
        record.valid_accuracy * 100.0,
        run.checkpoint().display()
    ));
}
