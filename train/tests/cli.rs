//! Drives the real binary over a small data set that the tests make.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use artifacts::{Checkpoint, RunDirectory, TrainingRecord, Weights, logits, read_metrics};
use files::Digest;
use support::{Images, write_dataset};
use tempfile::TempDir;
use train::cpu::kernel::Processor;
use train::data::Data;
use train::model::Mlp;
use train::recipe::Recipe;

/// A folder with a data set in `shards`.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (train, valid) = (Images::patterns(600, 6, 6, 4, 1), Images::patterns(120, 6, 6, 4, 2));
        write_dataset(&folder.path().join("shards"), &train, &valid, 0.45, 0.25);
        Self(folder)
    }

    fn command(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.arg("--dataset").arg(self.0.path().join("shards")).arg("--run").arg(self.0.path().join(run));
        command.args(["--engine", "cpu", "--hidden", "24", "--batch-size", "64", "--epochs", "6"]).args(arguments);
        command
    }

    fn run(&self, run: &str, arguments: &[&str]) -> Output {
        self.command(run, arguments).output().unwrap()
    }

    fn run_well(&self, run: &str, arguments: &[&str]) -> RunDirectory {
        let output = self.run(run, arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        self.directory(run)
    }

    fn directory(&self, run: &str) -> RunDirectory {
        RunDirectory::new(self.0.path().join(run))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The digests of a run's files, without what the clock decides.
fn contents(run: &RunDirectory) -> BTreeMap<PathBuf, Digest> {
    let files = fs::read_dir(run.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| *path != run.timings());
    files.map(|path| (path.file_name().unwrap().into(), Digest::of(&fs::read(&path).unwrap()))).collect()
}

fn record(run: &RunDirectory) -> TrainingRecord {
    artifacts::read_json(&run.training_record()).unwrap().0
}

#[test]
fn a_training_leaves_a_checkpoint_a_record_metrics_and_reference_logits_that_fit_together() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--learning-rate", "0.01"]);
    let record = record(&run);
    let (checkpoint, digest) = Checkpoint::read(&run.checkpoint()).unwrap();
    assert_eq!((record.checkpoint, &record.model), (digest, &checkpoint.model));
    assert_eq!(checkpoint.model.sizes(), [36, 24, 4]);
    assert_eq!(record.provenance.arguments["hidden"], serde_json::json!([24]));
    assert_eq!(
        record.provenance.inputs["dataset.json"],
        files::sha256_file(&workplace.0.path().join("shards/dataset.json")).unwrap()
    );

    let metrics = read_metrics(&run.metrics()).unwrap();
    assert_eq!(metrics.iter().map(|line| line.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(metrics[5].train_loss < metrics[0].train_loss / 2.0, "it learns: {metrics:?}");
    assert!(record.valid_accuracy > 0.9, "it generalises: {metrics:?}");
    assert_eq!((record.epochs, record.kept_epoch, record.valid_loss), (6, 6, metrics[5].valid_loss));
    assert_eq!(fs::read_to_string(run.timings()).unwrap().lines().count(), 6);

    // The reference logits are those of the checkpoint's weights, here by ndarray's own product.
    let (logits, digest) = logits::read(&run.reference_logits()).unwrap();
    assert_eq!((logits.dim(), digest), ((120, 4), record.reference_logits));
    let valid = Images::patterns(120, 6, 6, 4, 2);
    let [first, last] = &checkpoint.layers[..] else { panic!("two layers") };
    for row in 0..120 {
        let pixels = valid.pixels[row * 36..][..36].iter().map(|&pixel| (f32::from(pixel) / 255.0 - 0.45) / 0.25);
        let hidden =
            (first.weight.dot(&pixels.collect::<ndarray::Array1<f32>>()) + &first.bias).mapv(|value| value.max(0.0));
        let expected = last.weight.dot(&hidden) + &last.bias;
        assert!(logits.row(row).iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-4));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_any_number_of_threads_and_another_seed_gives_others() {
    let workplace = Workplace::new();
    let flags = ["--dropout", "0.2", "--schedule", "one-cycle", "--patience", "3"];
    let one = contents(&workplace.run_well("one", &[&flags[..], &["--threads", "1"]].concat()));
    let two = contents(&workplace.run_well("two", &[&flags[..], &["--threads", "2"]].concat()));
    let other = contents(&workplace.run_well("other", &[&flags[..], &["--seed", "1"]].concat()));
    assert_eq!(one, two);
    assert!(one.iter().all(|(name, digest)| other[name] != *digest));
}

#[test]
fn a_training_killed_in_any_epoch_resumes_to_the_bytes_of_the_uninterrupted_one() {
    let workplace = Workplace::new();
    let flags = ["--epochs", "8", "--dropout", "0.2", "--schedule", "cosine", "--warmup", "0.1", "--patience", "9"];
    let flags = [&flags[..], &["--hidden", "400,400", "--batch-size", "16"]].concat();
    let whole = contents(&workplace.run_well("whole", &flags));
    let mut killed_in_the_middle = 0;
    for epochs_over in 0..8 {
        let name = format!("killed-{epochs_over}");
        let run = workplace.directory(&name);
        let mut child = workplace.command(&name, &flags).stderr(Stdio::null()).spawn().unwrap();
        let lines = || fs::read_to_string(run.metrics()).map_or(0, |text| text.lines().count());
        while lines() < epochs_over && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(5));
        child.kill().unwrap();
        child.wait().unwrap();
        if run.training_record().exists() {
            assert_eq!(contents(&run), whole, "only a finished training leaves a record");
        } else {
            killed_in_the_middle += 1;
        }
        assert_eq!(contents(&workplace.run_well(&name, &[&flags[..], &["--resume"]].concat())), whole);
    }
    assert!(killed_in_the_middle >= 6, "{killed_in_the_middle} of 8 kills met an unfinished training");
}

#[test]
fn a_training_resumes_from_every_epoch() {
    let workplace = Workplace::new();
    for precision in ["f32", "f16"] {
        let flags = ["--patience", "4", "--precision", precision];
        let whole = contents(&workplace.run_well(&format!("whole-{precision}"), &flags));
        for epochs in 1..=6 {
            let name = format!("until-{epochs}-{precision}");
            workplace.run_well(&name, &[&flags[..], &["--epochs", &epochs.to_string()]].concat());
            let resumed = workplace.run_well(&name, &[&flags[..], &["--resume"]].concat());
            assert_eq!(contents(&resumed), whole, "from {epochs} in {precision}");
        }
    }
}

#[test]
fn a_longer_training_does_not_pass_for_a_shorter_one() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "4"]);
    let before = contents(&run);
    let output = workplace.run("run", &["--epochs", "3", "--resume"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("epochs: 4 there, 3 here"), "{}", stderr(&output));
    assert_eq!(contents(&run), before);
}

#[test]
fn a_run_does_not_lie_among_a_data_set_s_files() {
    let workplace = Workplace::new();
    let raw = workplace.0.path().join("raw");
    fs::create_dir(&raw).unwrap();
    fs::write(raw.join(artifacts::Source::FILE_NAME), "{}").unwrap();
    for (run, folder) in [("shards", "shards"), ("shards/train/run", "shards"), ("raw/train/run", "raw")] {
        let output = workplace.run(run, &["--epochs", "1"]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        let expected = format!("{folder}` holds a data set\nhint: name a folder outside of it with --run");
        assert!(said.contains(&expected), "{said}");
        assert!(!workplace.directory(run).training_record().exists());
    }
}

#[test]
fn a_training_says_what_it_begins_anew_or_replaces() {
    let workplace = Workplace::new();
    let first = stderr(&workplace.run("run", &["--epochs", "2"]));
    assert!(!first.contains("holds"), "{first}");
    let again = stderr(&workplace.run("run", &["--epochs", "2"]));
    assert!(
        again.contains("holds 2 epochs of this very training, which begins anew: --resume (make: RESUME=1)"),
        "{again}"
    );
    let other = stderr(&workplace.run("run", &["--epochs", "1", "--dropout", "0.1"]));
    assert!(
        other.contains("holds 2 epochs of another training, which this one replaces (dropout: 0.0 there, 0.1 here"),
        "{other}"
    );
    let resumed = stderr(&workplace.run("run", &["--epochs", "1", "--dropout", "0.1", "--resume"]));
    assert!(!resumed.contains("holds"), "{resumed}");
}

#[test]
fn a_finished_training_whose_state_is_gone_is_neither_replaced_without_a_word_nor_by_a_resume() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "2"]);
    fs::remove_file(run.training_state()).unwrap();
    let before = contents(&run);
    let other = workplace.run("run", &["--epochs", "2", "--dropout", "0.1", "--resume"]);
    let said = stderr(&other);
    assert!(!other.status.success() && said.contains("training.json` is of another training:"), "{said}");
    assert!(said.contains("dropout: 0.0 there, 0.1 here") && contents(&run) == before, "{said}");
    let same = stderr(&workplace.run("run", &["--epochs", "2", "--resume"]));
    let anew = "holds what came of 2 epochs of this very training, but no state to go on from: it begins anew";
    assert!(same.contains(anew) && same.contains("no state to resume"), "{same}");

    fs::remove_file(run.training_state()).unwrap();
    let other = stderr(&workplace.run("run", &["--epochs", "1", "--dropout", "0.1"]));
    assert!(other.contains("holds 2 epochs of another training, which this one replaces (dropout"), "{other}");
}

#[test]
fn a_training_stopped_early_only_where_epochs_were_left() {
    let workplace = Workplace::new();
    // With so large a step the loss grows from the second epoch on.
    let flags = ["--learning-rate=0.3", "--patience=2"];
    let metrics = |run: &RunDirectory| read_metrics(&run.metrics()).unwrap().len();
    let run = workplace.run_well("run", &[&flags[..], &["--epochs=12"]].concat());
    let epochs = metrics(&run);
    assert!((3..12).contains(&epochs), "{epochs}");
    let says_so = |epochs: &str| {
        let output = workplace.run("again", &[&flags[..], &["--epochs", epochs]].concat());
        stderr(&output).contains("train: stopped early, 2 epochs after the lowest validation loss")
    };
    assert!(says_so("12") && !says_so(&epochs.to_string()));
}

#[test]
fn half_a_line_of_the_timings_is_cut_off_by_a_resume() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "3"]);
    let timings = fs::read_to_string(run.timings()).unwrap();
    fs::write(run.timings(), &timings[..timings.len() - 10]).unwrap();
    workplace.run_well("run", &["--epochs", "4", "--resume"]);
    let epochs = |timings: &[artifacts::EpochTiming]| timings.iter().map(|timing| timing.epoch).collect::<Vec<_>>();
    assert_eq!(epochs(&artifacts::read_timings(&run.timings()).unwrap()), [1, 2, 4]);
}

#[test]
fn the_timings_of_epochs_after_the_state_are_cut_off_whichever_lines_are_missing() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "3"]);
    let timings = fs::read_to_string(run.timings()).unwrap();
    let lines: Vec<&str> = timings.lines().collect();
    // A kill between the second epoch's state and its line; and a line of an epoch that the state does not know.
    let later = lines[2].replace("\"epoch\":3", "\"epoch\":4");
    fs::write(run.timings(), [lines[0], lines[2], &later, ""].join("\n")).unwrap();
    workplace.run_well("run", &["--epochs", "5", "--resume"]);
    let timings = artifacts::read_timings(&run.timings()).unwrap();
    assert_eq!(timings.iter().map(|timing| timing.epoch).collect::<Vec<_>>(), [1, 3, 4, 5]);
}

#[test]
fn a_training_that_resumes_goes_on_with_the_file_of_tensorboard_and_one_that_begins_anew_has_none() {
    let workplace = Workplace::new();
    let whole = workplace.run_well("whole", &["--epochs", "5", "--tensorboard"]);
    let run = workplace.run_well("run", &["--epochs", "3", "--tensorboard"]);
    workplace.run_well("run", &["--epochs", "5", "--resume"]);
    assert_eq!(contents(&run), contents(&whole));
    // Nor does one that has nothing left to train lose it.
    workplace.run_well("run", &["--epochs", "5", "--resume"]);
    assert_eq!(contents(&run), contents(&whole));
    workplace.run_well("run", &["--epochs", "5"]);
    assert!(!run.events().exists());
}

#[test]
fn a_disk_that_has_no_room_for_the_first_state_leaves_what_an_earlier_training_left() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--cross-validate", "2"]);
    let before = contents(&run);
    let command = workplace.command("run", &["--hidden", "4000"]);
    let mut limited = Command::new("sh");
    // Blocks of 512 bytes, or 1,024: the state has two million.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""]).arg(command.get_program());
    let output = limited.args(command.get_args()).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cannot write `") && said.contains("training-state.safetensors`"), "{said}");
    assert!(said.contains("hint: make room"), "{said}");
    assert_eq!(contents(&run), before);
}

#[test]
fn a_training_that_goes_on_by_other_means_says_which_epochs_were_computed_how() {
    let workplace = Workplace::new();
    workplace.run_well("run", &["--epochs", "2"]);
    let run = workplace.run_well("run", &["--epochs", "3", "--precision", "f16", "--resume"]);
    let engines = serde_json::json!([
        {"from_epoch": 1, "engine": "cpu", "precision": "f32"},
        {"from_epoch": 3, "engine": "cpu", "precision": "f16"},
    ]);
    assert_eq!(record(&run).provenance.arguments["engines"], engines);
    let run = workplace.run_well("run", &["--epochs", "4", "--precision", "f16", "--resume"]);
    assert_eq!(record(&run).provenance.arguments["engines"], engines);
    // Nothing is left to compute.
    let before = contents(&run);
    workplace.run_well("run", &["--epochs", "4", "--resume"]);
    assert_eq!(record(&run).provenance.arguments["engines"], engines);
    assert_eq!(contents(&run), before);
    let alone = workplace.run_well("alone", &["--epochs", "2", "--precision", "f16"]);
    assert!(!record(&alone).provenance.arguments.contains_key("engines"));
}

#[test]
fn a_training_in_half_precision_says_so_and_how_it_is_computed() {
    let workplace = Workplace::new();
    let output = workplace.run("run", &["--precision", "f16"]);
    assert!(output.status.success());
    let (said, has_halves) = (stderr(&output), Processor::available()[0].has_halves());
    assert_eq!(said.contains("this processor has no AVX512-FP16"), !has_halves, "{said}");
    assert_eq!(said.contains("f16 products in software"), !has_halves, "{said}");
    let record = record(&workplace.directory("run"));
    assert_eq!(record.provenance.arguments["precision"], "f16");
    let output = workplace.run("tf32", &["--precision", "tf32"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the CPU engine has no tf32 products"), "{}", stderr(&output));
}

#[test]
fn a_state_of_another_training_is_refused_with_what_differs() {
    let workplace = Workplace::new();
    workplace.run_well("run", &[]);
    let output = workplace.run("run", &["--resume", "--learning-rate", "0.01", "--seed", "5", "--epochs", "9"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    for expected in ["learning_rate: 0.001 there, 0.01 here", "seed: 0 there, 5 here", "hint:"] {
        assert!(message.contains(expected), "{message}");
    }
    assert!(!message.contains("epochs:"), "a constant learning rate may go on: {message}");
    let output = workplace.run("run", &["--resume", "--schedule", "cosine", "--epochs", "9"]);
    assert!(stderr(&output).contains("epochs: 6 there, 9 here"), "{}", stderr(&output));
}

#[test]
fn a_state_that_is_cut_or_changed_is_refused_by_name_and_stays_until_it_is_told_to_go() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "2", "--hidden", "2"]);
    let path = run.training_state();
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        changed
    };
    let step = whole.len() / 20;
    let cuts = (0..whole.len()).step_by(step).map(|cut| whole[..cut].to_vec());
    for bytes in cuts.chain((3..whole.len()).step_by(step).map(flipped)) {
        fs::write(&path, &bytes).unwrap();
        let output = workplace.run("run", &["--epochs", "3", "--hidden", "2", "--resume"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("training-state.safetensors` is not a valid training state: "), "{said}");
        assert!(fs::read(&path).unwrap() == bytes);
    }
    workplace.run_well("run", &["--epochs", "3", "--hidden", "2"]);
}

#[test]
fn a_shard_that_somebody_writes_to_ends_the_training_with_its_name() {
    let workplace = Workplace::new();
    let mut child = workplace.command("run", &["--epochs", "100000", "-q"]).stderr(Stdio::piped()).spawn().unwrap();
    let run = workplace.directory("run");
    while !run.training_state().exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let shards = workplace.0.path().join("shards/train");
    let mut files = fs::read_dir(shards).unwrap().map(|entry| entry.unwrap().path());
    let labels = files.find(|path| path.to_str().unwrap().contains("labels")).unwrap();
    // In its place, as no stage does.
    let bytes = fs::read(&labels).unwrap();
    fs::OpenOptions::new().write(true).open(&labels).unwrap().set_len(bytes.len() as u64 + 1).unwrap();
    let output = child.wait().and_then(|_| {
        let mut said = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).map(|_| said)
    });
    let said = output.unwrap();
    assert!(said.contains(&format!("error: `{}` was changed while it was read", labels.display())), "{said}");
    assert!(!run.training_record().exists());
}

#[test]
fn patience_stops_at_the_lowest_validation_loss_and_keeps_its_weights() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--epochs", "200", "--patience", "3", "--learning-rate", "0.03"]);
    let metrics = read_metrics(&run.metrics()).unwrap();
    let record = record(&run);
    let lowest = metrics.iter().min_by(|one, other| one.valid_loss.total_cmp(&other.valid_loss)).unwrap();
    assert!(metrics.len() < 200);
    assert_eq!((record.kept_epoch, record.epochs), (lowest.epoch, lowest.epoch + 3));
    assert_eq!((record.valid_loss, record.valid_accuracy), (lowest.valid_loss, lowest.valid_accuracy));

    // Training to that epoch alone gives the very weights.
    let alone = workplace.run_well("alone", &["--epochs", &lowest.epoch.to_string(), "--learning-rate", "0.03"]);
    let layers = |run: &RunDirectory| Checkpoint::read(&run.checkpoint()).unwrap().0.layers;
    assert_eq!(layers(&run), layers(&alone));
}

#[test]
fn a_training_that_diverges_says_so_and_leaves_what_was_there_where_no_epoch_went_well() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &[]);
    let before = contents(&run);
    let output = workplace.run("run", &["--learning-rate", "1e30"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("training diverged: the loss of epoch 1 is"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: lower --learning-rate"), "{}", stderr(&output));
    assert!(stderr(&output).contains("raise --warmup, or set --clip-norm\n"), "{}", stderr(&output));
    let output = workplace.run("run", &["--learning-rate", "1e30", "--precision", "f16"]);
    assert!(stderr(&output).contains("or set --clip-norm, or take --precision f32\n"), "{}", stderr(&output));
    assert_eq!(contents(&run), before);
}

#[test]
fn the_summary_counts_parameters_bytes_and_flops() {
    let workplace = Workplace::new();
    let message = stderr(&workplace.run("run", &["--hidden", "256,32", "--epochs", "1"]));
    // 36 · 256 + 256 = 9,472 parameters, four bytes each; 2 · 36 · 256 + 256 = 18,688 FLOPs.
    for expected in ["0 Linear ┆     [N, 256] ┆      9,472 ┆ 37,888 ┆         18,688", "1 ReLU", "4 Linear", "17,828"]
    {
        assert!(message.contains(expected), "{expected} in {message}");
    }
}

#[test]
fn a_recipe_is_a_set_of_flags_and_flags_beside_it_win() {
    let workplace = Workplace::new();
    let by_recipe = workplace.run_well("recipe", &["--recipe", "fast", "--hidden", "16", "--epochs", "2"]);
    let flags = Recipe::Fast.flags();
    let by_flags =
        workplace.run_well("flags", &[flags, &["--batch-size", "64", "--hidden", "16", "--epochs", "2"]].concat());
    assert_eq!(contents(&by_recipe), contents(&by_flags));
}

#[test]
fn the_recipe_of_the_course_is_what_its_assignment_says() {
    let workplace = Workplace::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.arg("--dataset").arg(workplace.0.path().join("shards")).arg("--run").arg(workplace.0.path().join("run"));
    assert!(command.args(["--recipe", "course", "--engine", "cpu"]).status().unwrap().success());
    let arguments = record(&workplace.directory("run")).provenance.arguments;
    for (name, expected) in [
        ("hidden", serde_json::json!([256])),
        ("epochs", serde_json::json!(10)),
        ("batch_size", serde_json::json!(256)),
        ("learning_rate", serde_json::json!(0.001)),
        ("schedule", serde_json::json!("constant")),
        ("weight_decay", serde_json::json!(0.0)),
        ("dropout", serde_json::json!(0.0)),
        ("augment", serde_json::json!("none")),
    ] {
        assert_eq!(arguments[name], expected, "{name}");
    }
}

#[test]
fn an_average_of_the_weights_is_kept_where_it_is_better_on_validation() {
    let workplace = Workplace::new();
    // A large step leaves noise that the average is free of; of a few steps, the average is still near the first weights.
    let noisy = ["--ema-decay", "0.9", "--learning-rate", "0.3", "--epochs", "8"];
    let early = ["--ema-decay", "0.999", "--learning-rate", "0.001", "--epochs", "2"];
    for (name, flags, kept) in [("noisy", noisy, Weights::Averaged), ("early", early, Weights::Trained)] {
        let run = workplace.run_well(name, &flags);
        let (metrics, record) = (read_metrics(&run.metrics()).unwrap(), record(&run));
        let last = metrics.last().unwrap();
        let (averaged, trained) = (last.averaged_valid_loss.unwrap(), last.valid_loss);
        assert_eq!(record.kept_weights, kept, "{averaged} and {trained}");
        assert_eq!(averaged < trained, kept == Weights::Averaged);
        assert_eq!(record.valid_loss, averaged.min(trained));
    }
    let run = workplace.run_well("run", &["--ema-decay", "0.99", "--learning-rate", "0.03", "--epochs", "8"]);
    let resumed = workplace.run_well("resumed", &["--ema-decay", "0.99", "--learning-rate", "0.03", "--epochs", "4"]);
    workplace.run_well("resumed", &["--ema-decay", "0.99", "--learning-rate", "0.03", "--epochs", "8", "--resume"]);
    assert_eq!(contents(&resumed), contents(&run));
}

#[test]
fn an_ensemble_is_the_join_of_the_trainings_with_its_networks_seeds() {
    let workplace = Workplace::new();
    let flags = ["--hidden", "12,7", "--dropout", "0.2", "--augment", "light", "--ema-decay", "0.9", "--epochs", "3"];
    let ensemble = workplace.run_well("ensemble", &[&flags[..], &["--ensemble", "3", "--seed", "7"]].concat());
    let hyperparameters = support::hyperparameters(&["--ensemble", "3", "--seed", "7"]);
    let mut networks = Vec::new();
    for seed in hyperparameters.seeds() {
        let name = format!("seed-{seed}");
        let run = workplace.run_well(&name, &[&flags[..], &["--seed", &seed.to_string()]].concat());
        // Nobody chooses between the weights and their average for one network alone.
        assert_eq!(record(&run).kept_weights, record(&ensemble).kept_weights);
        let layers = Checkpoint::read(&run.checkpoint()).unwrap().0.layers;
        let parameters = layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias).copied());
        networks.push(parameters.collect::<Vec<f32>>());
    }
    assert!(networks.len() == 3 && networks[0] != networks[1] && networks[1] != networks[2]);
    let checkpoint = Checkpoint::read(&ensemble.checkpoint()).unwrap().0;
    assert_eq!((&checkpoint.model.hidden[..], checkpoint.model.groups.get()), (&[36, 21][..], 3));
    assert_eq!(checkpoint.layers, Mlp::new(&[36, 12, 7, 4]).join(&networks));
}

#[test]
fn an_ensemble_goes_on_where_it_was() {
    let workplace = Workplace::new();
    let flags = ["--ensemble", "2", "--test-time-shift", "1", "--patience", "2", "--learning-rate", "0.03"];
    let run = workplace.run_well("run", &[&flags[..], &["--epochs", "200"]].concat());
    let record = record(&run);
    assert!(record.epochs < 200 && record.kept_epoch + 2 == record.epochs);
    // Cut short after the epoch that is kept, whose weights then come from the state.
    let epochs = (record.epochs - 1).to_string();
    let resumed = workplace.run_well("resumed", &[&flags[..], &["--epochs", &epochs]].concat());
    workplace.run_well("resumed", &[&flags[..], &["--epochs", "200", "--resume"]].concat());
    assert_eq!(contents(&resumed), contents(&run));
    let output =
        workplace.run("resumed", &["--epochs", "201", "--resume", "--patience", "2", "--learning-rate", "0.03"]);
    assert!(stderr(&output).contains("ensemble: 2 there, 1 here"), "{}", stderr(&output));
    // Scales of the loss, where there are some, are of each network.
    let halves = ["--ensemble", "2", "--precision", "f16"];
    let run = workplace.run_well("halves", &[&halves[..], &["--epochs", "3"]].concat());
    let resumed = workplace.run_well("resumed-halves", &[&halves[..], &["--epochs", "2"]].concat());
    workplace.run_well("resumed-halves", &[&halves[..], &["--epochs", "3", "--resume"]].concat());
    assert_eq!(contents(&resumed), contents(&run));
}

#[test]
fn what_networks_are_joined_to_may_be_too_large_and_shifts_too_far() {
    let workplace = Workplace::new();
    let output = workplace.run("run", &["--hidden", "8192,8192", "--ensemble", "9"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("error: the network that 9 copies are joined to has 6"), "{said}");
    assert!(said.contains("--ensemble and --test-time-shift"), "{said}");
    let output = workplace.run("run", &["--hidden", "8", "--test-time-shift", "6"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--test-time-shift 6 moves images of 6x6 pixels out of sight"));
    let output =
        workplace.run("run", &["--hidden", "8,8", "--ensemble", "2", "--test-time-shift", "1", "--epochs", "1"]);
    let said = stderr(&output);
    assert!(said.contains("2 Linear in 10 groups"), "{said}");
    assert!(said.contains("2 networks with hidden layers 8,8, each for 5 shifts of the image, become one:"), "{said}");
    let said = stderr(&workplace.run("run", &["--hidden", "8", "--test-time-shift", "1", "--epochs", "1"]));
    assert!(said.contains("1 network with hidden layers 8, for 5 shifts of the image, becomes one:"), "{said}");
}

#[test]
fn planted_label_noise_is_the_share_that_was_asked_for() {
    let images = Images::patterns(5000, 2, 2, 4, 1);
    let folder = tempfile::tempdir().unwrap();
    write_dataset(folder.path(), &images, &images, 0.4, 0.3);
    let data = Data::open(folder.path()).unwrap();
    let noisy = data.with_label_noise(0.2, 3);
    let labels: Vec<u8> = (0..5000).map(|row| noisy.train_label(row)).collect();
    let changed = labels.iter().zip(&images.labels).filter(|(noisy, label)| noisy != label).count();
    // Five deviations of a binomial distribution.
    assert!((changed as f64 - 1000.0).abs() < 5.0 * (5000.0 * 0.2 * 0.8_f64).sqrt(), "{changed}");
    // Whom a label is taken for is as often each of the others.
    for (class, other) in
        (0..4).flat_map(|class| (0..4).map(move |other| (class, other))).filter(|(one, other)| one != other)
    {
        let taken = labels.iter().zip(&images.labels).filter(|&pair| pair == (&other, &class)).count();
        assert!((40..130).contains(&taken), "{taken} of class {class} for {other}");
    }
}

#[test]
fn the_preview_shows_originals_beside_their_variants_and_trains_nothing() {
    let workplace = Workplace::new();
    let sheet = workplace.0.path().join("sheet.png");
    let arguments = ["--augment", "strong", "--preview-augmentation", sheet.to_str().unwrap()];
    workplace.run_well("run", &arguments);
    assert!(!workplace.directory("run").path().exists());
    let picture = image::open(&sheet).unwrap().into_luma8();
    // Twelve rows and thirteen columns of 6x6 pixels, doubled, with gaps of 2 and one of 8 after the originals.
    assert_eq!(picture.dimensions(), (13 * 14 + 8, 12 * 14 + 2));
    let images = Images::patterns(600, 6, 6, 4, 1);
    for (pixel, value) in images.pixels[..36].iter().enumerate() {
        let (x, y) = (2 + 2 * (pixel % 6) as u32, 2 + 2 * (pixel / 6) as u32);
        assert_eq!(picture.get_pixel(x, y).0[0], *value);
    }
    workplace.run_well("run", &["--preview-augmentation", sheet.to_str().unwrap()]);
    let still = image::open(&sheet).unwrap().into_luma8();
    for column in 1..=12 {
        let first = |x: u32, y: u32| *still.get_pixel(2 + x, 2 + y);
        assert!((0..12).all(|x| (0..12).all(|y| *still.get_pixel(10 + 14 * column + x, 2 + y) == first(x, y))));
    }
}

#[test]
fn softmax_regression_has_no_hidden_layer() {
    let workplace = Workplace::new();
    let run = workplace.run_well("run", &["--hidden", "none"]);
    assert_eq!(Checkpoint::read(&run.checkpoint()).unwrap().0.model.sizes(), [36, 4]);
}

#[test]
fn changed_or_missing_shards_are_refused_by_name() {
    let workplace = Workplace::new();
    let labels = workplace.0.path().join("shards/train/labels-00000.npy");
    let mut bytes = fs::read(&labels).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&labels, &bytes).unwrap();
    let output = workplace.run("run", &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("labels-00000.npy` has SHA-256") && message.contains("hint:"), "{message}");
    workplace.run_well("run", &["--no-verify"]);

    bytes[last] = 99;
    fs::write(&labels, &bytes).unwrap();
    assert!(stderr(&workplace.run("run", &["--no-verify"])).contains("it has label 99 of 4 classes"));
    fs::remove_file(&labels).unwrap();
    let message = stderr(&workplace.run("run", &[]));
    assert!(message.contains("cannot read") && message.contains("make preprocess"), "{message}");
}

#[test]
fn arguments_that_cannot_be_are_refused_with_exit_code_2() {
    let workplace = Workplace::new();
    for (arguments, expected) in [
        (["--hidden", "0"], "expected whole numbers from 1 to 65536"),
        (["--hidden", "65536,65536"], "parameters; at most 536805376 are possible"),
        (["--threads", "65535"], "65535 is not in 1..=1024"),
        (["--epochs", "0"], "expected a whole number from 1 to 4294967295"),
        (["--learning-rate", "0"], "expected a number above 0"),
        (["--dropout", "1"], "expected a share of at least 0 and below 1"),
        (["--augment-shift", "1e300"], "expected a number from 0 to 2048"),
        (["--augment-rotation", "361"], "expected a number from 0 to 360"),
        (["--augment-shear", "-1"], "expected a number from 0 to 10"),
        (["--augment-stroke", "1.5"], "expected a number from 0 to 1\n"),
        (["--schedule", "steps"], "possible values: constant, cosine, one-cycle"),
        (["--engine", "tpu"], "possible values: auto, cpu"),
    ] {
        let output = workplace.run("run", &arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert!(!Path::new(workplace.directory("run").path()).exists());
}

#[test]
fn without_a_terminal_there_is_a_line_an_epoch_and_under_quiet_none() {
    let workplace = Workplace::new();
    let output = workplace.run("run", &[]);
    let message = stderr(&output);
    assert_eq!(message.lines().filter(|line| line.starts_with("epoch ")).count(), 6, "{message}");
    assert!(!message.contains('\r') && !message.contains('\u{1b}'), "{message}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(&workplace.run("quiet", &["--quiet"])), "");
}

/// Runs `train sweep` on a file of these lines.
fn sweep(workplace: &Workplace, lines: &str) -> Output {
    let file = workplace.0.path().join("sweep.toml");
    let place = workplace.0.path().display();
    let flags = "flags = ['--engine=cpu', '--hidden=8', '--epochs=2', '--batch-size=64']";
    fs::write(&file, format!("dataset = '{place}/shards'\nruns = '{place}/runs'\n{flags}\n{lines}")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_train")).arg("sweep").arg(file).output().unwrap()
}

#[test]
fn a_sweep_trains_each_variant_with_each_seed_and_takes_what_is_done() {
    let workplace = Workplace::new();
    let lines =
        "seeds = [0, 1, 2]\n[[variant]]\nname = 'plain'\n[[variant]]\nname = 'decayed'\nflags = ['--weight-decay=0.1']";
    let output = sweep(&workplace, lines);
    assert!(output.status.success(), "{}", stderr(&output));
    let outcomes: Vec<serde_json::Value> = String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(outcomes.len(), 2);
    let accuracies =
        [0, 1, 2].map(|seed| record(&workplace.directory(&format!("runs/decayed/seed-{seed}"))).valid_accuracy);
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!((outcomes[1]["valid_accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(outcomes[1]["variant"], "decayed");
    assert_eq!(outcomes[1]["valid_accuracies"], serde_json::json!(accuracies));
    let (difference, of_plain) = (&outcomes[1]["valid_accuracy_difference"], &outcomes[0]["valid_accuracy"]["mean"]);
    assert_eq!((&difference["to"], &difference["seeds"]), (&"plain".into(), &3.into()));
    assert!((difference["mean"].as_f64().unwrap() - (mean - of_plain.as_f64().unwrap())).abs() < 1e-12);
    assert!(outcomes[0]["valid_accuracy_difference"].is_null());
    assert!(stderr(&output).contains("accuracy less that of plain, points"), "{}", stderr(&output));

    // The same by hand gives the same bytes; a second sweep trains nothing, one with other flags all.
    let flags = ["--hidden=8", "--epochs=2", "--batch-size=64", "--weight-decay=0.1", "--seed=1"];
    let by_hand = workplace.run_well("by-hand", &flags);
    assert_eq!(contents(&by_hand), contents(&workplace.directory("runs/decayed/seed-1")));
    let again = sweep(&workplace, lines);
    assert_eq!(stderr(&again).matches("done before").count(), 6);
    assert_eq!(again.stdout, output.stdout);
    let other = sweep(&workplace, &lines.replace("0.1", "0.2"));
    assert_eq!(stderr(&other).matches("done before").count(), 3, "{}", stderr(&other));

    // What is asked for besides is made of those that are done.
    let run = workplace.directory("runs/decayed/seed-1");
    let trained = record(&run);
    let besides = lines.replace("'--weight-decay=0.1'", "'--weight-decay=0.1', '--cross-validate=2', '--tensorboard'");
    let besides = besides.replace("0.1", "0.2");
    for done_before in [3, 6] {
        let more = sweep(&workplace, &besides);
        assert_eq!(stderr(&more).matches("done before").count(), done_before, "{}", stderr(&more));
        assert_eq!(record(&run), trained);
        assert!(run.cross_validation().exists() && run.events().exists());
    }
}

#[test]
fn a_sweep_whose_flags_ask_for_another_precision_trains_anew() {
    let workplace = Workplace::new();
    let lines = "seeds = [0]
[[variant]]
name = 'a'
flags = ['--precision=f32']";
    let run = workplace.directory("runs/a/seed-0");
    assert!(sweep(&workplace, lines).status.success());
    let halves = lines.replace("f32", "f16");
    let said = stderr(&sweep(&workplace, &halves));
    assert!(!said.contains("done before"), "{said}");
    let alone = workplace.run_well("alone", &["--hidden=8", "--epochs=2", "--batch-size=64", "--precision=f16"]);
    assert_eq!(contents(&run), contents(&alone));
    assert!(stderr(&sweep(&workplace, &halves)).contains("done before"));
    // Nor does one go on that was cut short: here after its first epoch, in f32.
    let first = ["--hidden=8", "--epochs=1", "--batch-size=64"];
    workplace.run_well("runs/a/seed-0", &first);
    fs::remove_file(run.training_record()).unwrap();
    let said = stderr(&sweep(&workplace, &halves));
    assert!(said.contains("trained otherwise (by another engine or in another precision)"), "{said}");
    assert_eq!(contents(&run), contents(&alone));
}

#[test]
fn a_sweep_begins_anew_where_another_version_of_the_tool_left_a_state() {
    let workplace = Workplace::new();
    let lines = "seeds = [0]\n[[variant]]\nname = 'a'";
    assert!(sweep(&workplace, lines).status.success());
    let run = workplace.directory("runs/a/seed-0");
    let (state, whole) = (fs::read(run.training_state()).unwrap(), contents(&run));
    let version = br#"\"schema_version\":"#;
    let place = state.windows(version.len()).position(|bytes| bytes == version).unwrap() + version.len();
    let mut other = state;
    other[place] = b'1';
    fs::write(run.training_state(), other).unwrap();
    fs::remove_file(run.training_record()).unwrap();
    let said = stderr(&sweep(&workplace, lines));
    assert!(said.contains("begun anew") && said.contains("has schema version 1, but this build reads"), "{said}");
    assert_eq!(contents(&run), whole);
}

#[test]
fn a_sweep_goes_on_where_a_training_diverges_and_fails_at_its_end() {
    let workplace = Workplace::new();
    let lines = "seeds = [0, 1]
[[variant]]
name = 'wild'
flags = ['--learning-rate=1e38']
[[variant]]
name = 'tame'";
    let output = sweep(&workplace, lines);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: 2 of the trainings diverged:\n  variant `wild`, seed 0: training diverged"),
        "{said}"
    );
    assert!(said.contains("\n  variant `wild`, seed 1: ") && said.contains("hint: lower --learning-rate"), "{said}");
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&outcome["variant"], &outcome["seeds"]), (&"tame".into(), &serde_json::json!([0, 1])));
}

#[test]
fn a_sweep_that_cannot_be_is_refused_before_anything_is_trained() {
    let workplace = Workplace::new();
    let with = |flags: &str| format!("seeds = [1]\n[[variant]]\nname = 'a'\nflags = ['{flags}']");
    for (lines, code, expected) in [
        ("seeds = []\n[grid]\ndropout = [0.1]", 1, "is not a valid sweep: `seeds` is empty"),
        ("seeds = [1]", 1, "it needs either [[variant]] tables or a [grid]"),
        ("seeds = [1]\n[grid]\ndropout = [0.1, 0.1]", 1, "it has two variants named `dropout=0.1`"),
        ("seeds = [1]\n[grid]\ndropout = [0.1]\nschedule = []", 1, "its [grid] has no value of `schedule`"),
        ("seeds = [1, 2, 1]\n[grid]\ndropout = [0.1]", 1, "it has the seed 1 twice"),
        ("seeds = [1]\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"a\"", 1, "it has two variants named `a`"),
        ("seeds = [1]\n[[variant]]\nname = 'a/'", 1, "its variant `a/` does not have the name of a folder"),
        ("seeds = [1]\n[[variant]]\nname = '../a'", 1, "its variant `../a` does not have the name of a folder"),
        ("seeds = [1]\n[[variant]]\nname = ''", 1, "its variant `` does not have the name of a folder"),
        ("seeds = [1]\nlearning = 3", 1, "unknown field `learning`"),
        (
            "seeds = [1]\n[grid]\ndropout = [0.1, 1.5]",
            2,
            "error: variant `dropout=1.5`: invalid value '1.5' for '--dropout <SHARE>': \
             expected a share of at least 0 and below 1\n",
        ),
        (&with("--layers=3"), 2, "error: variant `a`: unexpected argument '--layers' found"),
        (&with("--schedule=step"), 2, "[possible values: constant, cosine, one-cycle]\n"),
    ] {
        let output = sweep(&workplace, lines);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && !said.contains("Usage:") && !said.contains("--help"), "{said}");
    }
    assert!(!workplace.directory("runs").path().exists());
}

#[test]
fn flags_of_what_a_sweep_decides_itself_are_refused_wherever_they_stand() {
    let workplace = Workplace::new();
    let of_a_variant = |flag: &str| format!("seeds = [1, 2]\n[[variant]]\nname = 'a'\nflags = ['{flag}']");
    for (lines, expected) in [
        (of_a_variant("--seed=1"), "variant `a`: the sweep decides --seed, by `seeds` of its file"),
        (of_a_variant("--dataset=elsewhere"), "the sweep decides --dataset, by `dataset` of its file"),
        (of_a_variant("--run=elsewhere"), "the sweep decides --run, by `runs` of its file"),
        (of_a_variant("--resume"), "the sweep decides --resume, by what is there"),
        (of_a_variant("--preview-augmentation=sheet.png"), "--preview-augmentation trains nothing"),
        ("seeds = [1]\n[grid]\nseed = [1, 2]".to_owned(), "variant `seed=2`: the sweep decides --seed"),
    ] {
        let output = sweep(&workplace, &lines);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert!(!workplace.directory("runs").path().exists());
}

#[test]
fn a_sweep_says_which_training_begins_and_why_one_that_is_there_is_begun_anew() {
    let workplace = Workplace::new();
    let lines = "seeds = [3, 4]\n[[variant]]\nname = 'a'\n[[variant]]\nname = 'b'\nflags = ['--weight-decay=0.1']";
    let said = stderr(&sweep(&workplace, lines));
    let begun: Vec<&str> = said.lines().filter(|line| line.contains(", seed ")).collect();
    assert_eq!(begun, ["1/4 a, seed 3", "2/4 a, seed 4", "3/4 b, seed 3", "4/4 b, seed 4"]);
    assert!(!said.contains("begun anew"), "{said}");

    let run = workplace.directory("runs/b/seed-4");
    fs::remove_file(run.training_state()).unwrap();
    let said = stderr(&sweep(&workplace, &lines.replace("0.1", "0.2")));
    let trained = "begun anew, as what is there was trained otherwise";
    let folder = workplace.0.path().join("runs/b/seed-3");
    let expected = format!("3/4 b, seed 3\n{trained} (weight_decay: 0.1 there, 0.2 here): `{}`\n", folder.display());
    assert!(said.contains(&expected) && said.matches(trained).count() == 2, "{said}");
    assert!(!said.contains("1/4"), "{said}");
    let said = stderr(&sweep(&workplace, &lines.replace("0.1", "0.2', '--precision=f16")));
    let trained = "begun anew, as what is there was trained otherwise (by another engine or in another precision): `";
    assert_eq!(said.matches(trained).count(), 2, "{said}");
}

#[test]
fn a_sweep_that_gains_a_flag_keeps_the_cross_validation_that_is_there() {
    let workplace = Workplace::new();
    let lines = "seeds = [0]\n[[variant]]\nname = 'a'\nflags = ['--cross-validate=2']";
    assert!(sweep(&workplace, lines).status.success());
    let run = workplace.directory("runs/a/seed-0");
    let written = || fs::metadata(run.cross_validation()).unwrap().modified().unwrap();
    let before = written();
    assert!(sweep(&workplace, &lines.replace("=2'", "=2', '--tensorboard'")).status.success());
    assert!(run.events().exists() && written() == before);
    assert!(sweep(&workplace, &lines.replace("=2'", "=3'")).status.success());
    assert!(written() > before);
}

#[test]
fn a_sweep_whose_data_changes_meanwhile_takes_no_result_of_other_data() {
    let workplace = Workplace::new();
    let file = workplace.0.path().join("sweep.toml");
    let place = workplace.0.path().display();
    let shards = workplace.0.path().join("shards");
    let lines = format!(
        "dataset = '{place}/shards'\nruns = '{place}/runs'\nseeds = [1, 2]\n[[variant]]\nname = 'a'
        flags = ['--engine=cpu', '--hidden=8', '--epochs=100']"
    );
    fs::write(&file, lines).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    let child = command.arg("sweep").arg(file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !workplace.directory("runs/a/seed-1").training_state().exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let (mut dataset, _) = artifacts::Dataset::read(&shards).unwrap();
    dataset.name = "others".to_owned();
    artifacts::write_json(&shards.join(artifacts::Dataset::FILE_NAME), &dataset).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("error: `{}/dataset.json` was changed while it was read", shards.display())),
        "{said}"
    );
}
