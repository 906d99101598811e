//! Drives the real binary with stand-ins for CUDA's libraries, and with none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use artifacts::{Checkpoint, CrossValidation, RunDirectory, TrainingRecord, read_metrics};
use ndarray::Array2;
use serde_json::{Value, json};
use support::{Images, standin, write_dataset};
use tempfile::TempDir;

const FLAGS: [&str; 8] = ["--hidden", "24,12", "--batch-size", "64", "--epochs", "4", "--augment", "light"];

/// A folder with a data set in `shards`.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        Self::of(600, 6)
    }

    fn of(images: usize, side: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [train, valid] =
            [(images, 1), (120, 2)].map(|(images, seed)| Images::patterns(images, side, side, 4, seed));
        write_dataset(&folder.path().join("shards"), &train, &valid, 0.45, 0.25);
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// On a machine with these libraries.
    fn command(&self, libraries: &Path, run: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.arg("--dataset").arg(self.path().join("shards")).arg("--run").arg(self.path().join(run));
        command.args(FLAGS).args(arguments);
        finding(&mut command, libraries);
        command
    }

    fn cuda(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(standin::folder(), run, arguments);
        command.args(["--engine", "cuda"]);
        command
    }

    /// A folder without the named libraries.
    fn without(&self, missing: &[&str]) -> std::path::PathBuf {
        let folder = self.path().join(format!("without-{}", missing.join("-")));
        if folder.exists() {
            return folder;
        }
        fs::create_dir_all(folder.join(MASKS)).unwrap();
        for name in ["libcuda.so.1", "libnvrtc.so.13", "libnvrtc.so.12", "libcublasLt.so.13", "libcublasLt.so.12"] {
            if missing.iter().any(|missing| name.starts_with(missing)) {
                fs::write(folder.join(MASKS).join(name), "").unwrap();
            } else if standin::folder().join(name).exists() {
                std::os::unix::fs::symlink(standin::folder().join(name), folder.join(name)).unwrap();
            }
        }
        folder
    }

    fn run(&self, name: &str) -> RunDirectory {
        RunDirectory::new(self.path().join(name))
    }
}

/// In a folder of libraries: files that are none, so that the system finds no other of their names on any machine.
const MASKS: &str = "masks";

/// Has the command find these libraries, and none of the machine's.
fn finding(command: &mut Command, libraries: &Path) {
    let folders = std::env::join_paths([libraries, &libraries.join(MASKS)]).unwrap();
    command.env("LD_LIBRARY_PATH", folders).env("CUDA_LIBRARIES", libraries).env_remove("CUDA_HOME");
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// What it says, once it has failed with this exit code.
fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stderr(&output)
}

fn arguments(run: &RunDirectory) -> BTreeMap<String, Value> {
    artifacts::read_json::<TrainingRecord>(&run.training_record()).unwrap().0.provenance.arguments
}

fn losses(run: &RunDirectory) -> Vec<(f64, f64)> {
    read_metrics(&run.metrics()).unwrap().iter().map(|line| (line.train_loss, line.valid_loss)).collect()
}

#[track_caller]
fn agree(one: &RunDirectory, other: &RunDirectory, tolerance: f64) {
    let (one, other) = (losses(one), losses(other));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.into_iter().zip(other) {
        assert!(
            (one.0 - other.0).abs() < tolerance * other.0 && (one.1 - other.1).abs() < tolerance * other.1,
            "{one:?} {other:?}"
        );
    }
}

fn checkpoint(run: &RunDirectory) -> Vec<u8> {
    fs::read(run.checkpoint()).unwrap()
}

#[test]
fn a_training_on_cuda_is_that_on_the_cpu_and_says_what_computed_it() {
    let workplace = Workplace::new();
    succeeds(&mut workplace.command(standin::folder(), "cpu", &["--engine", "cpu"]));
    let said = succeeds(&mut workplace.cuda("f32", &["--precision", "f32"]));
    assert!(said.contains("cuda (Stand-in 0, device 0), f32 products"), "{said}");
    let said = succeeds(&mut workplace.cuda("tf32", &[]));
    assert!(said.contains("tf32 products"), "{said}");
    succeeds(&mut workplace.cuda("bf16", &["--precision", "bf16"]));
    let [cpu, f32, tf32, bf16] = ["cpu", "f32", "tf32", "bf16"].map(|name| workplace.run(name));
    agree(&f32, &cpu, 1e-4);
    agree(&tf32, &cpu, 2e-2);
    agree(&bf16, &cpu, 1e-1);
    let arguments = arguments(&bf16);
    let names = ["engine", "device", "precision", "nvrtc", "cublaslt"];
    let values = names.map(|name| arguments[name].as_str().unwrap());
    assert_eq!(values, ["cuda", "Stand-in 0", "bf16", "13.0", "13.0.0"]);
    assert_eq!(Checkpoint::read(&bf16.checkpoint()).unwrap().0.layers.len(), 3);
}

#[test]
fn images_that_do_not_fit_stream_to_the_very_bytes() {
    // 576 kB, of which batches are a small part.
    let workplace = Workplace::of(1000, 24);
    let cuda = |run: &str, memory: &str| {
        let mut command = workplace.cuda(run, &["-v", "--batch-size", "70", "--epochs", "2", "--dropout", "0.1"]);
        command.env("STANDIN_MEMORY", memory);
        command
    };
    let said = succeeds(&mut cuda("resident", "1000000000"));
    assert!(said.contains("the images are on the device"), "{said}");
    // What the error says is needed, rounded to a tenth of a MiB: it has room for two batches, but not for all images.
    let said = fails(&mut cuda("none", "1000000"), 1);
    let needed: f64 = said.split("the training needs ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    let said = succeeds(&mut cuda("streamed", &format!("{:.0}", (needed + 0.06) * f64::from(1 << 20))));
    assert!(said.contains("the images are streamed to the device"), "{said}");
    assert!(checkpoint(&workplace.run("streamed")) == checkpoint(&workplace.run("resident")));
    assert_eq!(losses(&workplace.run("streamed")), losses(&workplace.run("resident")));
}

#[test]
fn images_stream_too_where_another_process_takes_the_memory_before_they_are_there() {
    const MEBI: f64 = 1_048_576.0;
    // 1.7 MB, of which batches are a small part.
    let workplace = Workplace::of(3000, 24);
    let cuda = |run: &str, memory: f64, others: f64| {
        let mut command = workplace.cuda(run, &["-v", "--batch-size", "70", "--epochs", "1"]);
        command.env("STANDIN_MEMORY", format!("{memory:.0}")).env("STANDIN_OTHERS", format!("{others:.0}"));
        command
    };
    let said = fails(&mut cuda("none", 1e6, 0.0), 1);
    let needed: f64 = said.split("the training needs ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    // Enough for all images. What others then take has room in the 256 MiB that are left to the driver, but for half a MiB.
    let memory = (needed + 3.0) * MEBI;
    let said = succeeds(&mut cuda("beside", memory, (256.0 + 2.5) * MEBI));
    assert!(said.contains("the images are streamed to the device"), "{said}");
    let said = succeeds(&mut cuda("alone", memory, 0.0));
    assert!(said.contains("the images are on the device"), "{said}");
    assert!(checkpoint(&workplace.run("beside")) == checkpoint(&workplace.run("alone")));
    let said = fails(&mut cuda("none", memory, (256.0 + 16.0) * MEBI), 1);
    assert!(said.contains(&format!("the training needs {needed:.1} MiB")), "{said}");
    assert!(said.contains("hint: lower --batch-size"), "{said}");
}

#[test]
fn an_ensemble_trains_on_cuda_too_and_its_networks_share_the_images_there() {
    let workplace = Workplace::of(1000, 24);
    let ensemble = ["--ensemble", "2", "--test-time-shift", "1", "--ema-decay", "0.9", "--precision", "f32"];
    let sizes = ["-v", "--hidden", "9", "--batch-size", "70", "--epochs"];
    let flags = [&ensemble[..], &sizes].concat();
    let cuda = |run: &str, memory: &str, more: &[&str]| {
        let mut command = workplace.cuda(run, &[&flags[..], more].concat());
        command.env("STANDIN_MEMORY", memory);
        command
    };
    let said = succeeds(&mut cuda("resident", "1000000000", &["1"]));
    assert_eq!(said.matches("the images are on the device").count(), 1, "{said}");
    let said = fails(&mut cuda("none", "1000000", &["1"]), 1);
    let needed: f64 = said.split("the training needs ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    let said = succeeds(&mut cuda("streamed", &format!("{:.0}", (needed + 0.06) * f64::from(1 << 20)), &["1"]));
    assert!(said.contains("the images are streamed to the device"), "{said}");
    assert!(checkpoint(&workplace.run("streamed")) == checkpoint(&workplace.run("resident")));
    assert_eq!(Checkpoint::read(&workplace.run("resident").checkpoint()).unwrap().0.model.hidden, [9 * 10]);
    succeeds(workplace.command(standin::folder(), "cpu", &flags).args(["1", "--engine", "cpu"]));
    agree(&workplace.run("resident"), &workplace.run("cpu"), 1e-4);
    // An epoch more on the device, after that on the processor.
    for run in ["cpu", "resident"] {
        let said = succeeds(&mut cuda(run, "1000000000", &["2", "--resume"]));
        assert!(said.contains("resuming after epoch 1"), "{said}");
    }
    agree(&workplace.run("resident"), &workplace.run("cpu"), 1e-4);
}

fn out_of_sample(run: &RunDirectory) -> (CrossValidation, Array2<f32>) {
    let (record, _) = artifacts::read_json::<CrossValidation>(&run.cross_validation()).unwrap();
    let logits = record.read_logits(&run.out_of_sample_logits(), &run.cross_validation()).unwrap();
    (record, logits)
}

#[test]
fn a_cross_validation_on_cuda_is_that_on_the_cpu_wherever_the_images_are() {
    let folder = tempfile::tempdir().unwrap();
    // The folds' engine has the training images in both splits, and so has the training's here: what streams in one does in
    // the other. More of them than are judged at a time, lest the buffer that they stream through be as large as they are.
    let images = Images::patterns(5300, 8, 8, 4, 1);
    write_dataset(&folder.path().join("shards"), &images, &images, 0.45, 0.25);
    let workplace = Workplace(folder);
    let flags = "-v --cross-validate 2 --ensemble 2 --hidden 9 --batch-size 500 --epochs 1 --augment none";
    let flags: Vec<&str> = flags.split(' ').collect();
    let cuda = |run: &str, memory: f64| {
        let mut command = workplace.cuda(run, &[&flags[..], &["--precision", "f32"]].concat());
        command.env("STANDIN_MEMORY", format!("{memory:.0}"));
        command
    };
    succeeds(workplace.command(standin::folder(), "cpu", &flags).args(["--engine", "cpu"]));
    let said = succeeds(&mut cuda("resident", 1e9));
    assert!(said.contains("the images are on the device"), "{said}");
    let said = fails(&mut cuda("none", 1e6), 1);
    let needed: f64 = said.split("the training needs ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    let said = succeeds(&mut cuda("streamed", (needed + 0.06) * f64::from(1 << 20)));
    assert!(said.contains("the images are streamed to the device"), "{said}");

    let [cpu, resident, streamed] = ["cpu", "resident", "streamed"].map(|run| out_of_sample(&workplace.run(run)));
    assert_eq!((resident.0.folds.len(), resident.1.dim()), (2, (5300, 4)));
    assert_eq!(resident.0.provenance.arguments["engine"], "cuda");
    assert!(streamed == resident);
    for (found, expected) in resident.1.iter().zip(&cpu.1) {
        assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
    }
    assert!((resident.0.accuracy - cpu.0.accuracy).abs() < 1e-3, "{} {}", resident.0.accuracy, cpu.0.accuracy);
}

#[test]
fn too_little_memory_is_an_error_with_the_numbers_before_anything_is_trained() {
    let workplace = Workplace::new();
    let said = fails(workplace.cuda("run", &[]).env("STANDIN_MEMORY", "50000000"), 1);
    assert!(said.contains("MiB of memory on device 0 (Stand-in 0), which has 47.7 MiB free of 47.7 MiB"), "{said}");
    assert!(said.contains("hint: lower --batch-size, --hidden or --ensemble"), "{said}");
    assert!(!workplace.path().join("run").exists());
}

#[test]
fn a_device_that_fails_in_an_epoch_leaves_the_last_whole_one_which_either_engine_resumes() {
    let workplace = Workplace::new();
    succeeds(&mut workplace.cuda("whole", &["--precision", "f32"]));
    let failing = |run: &str| {
        let said = fails(workplace.cuda(run, &["--precision", "f32"]).env("STANDIN_FAIL_AT", "170"), 1);
        assert!(said.contains("CUDA cannot") && said.contains("CUDA_ERROR_LAUNCH_FAILED"), "{said}");
        assert!(said.contains("a training that had begun resumes after its last whole epoch with --resume"), "{said}");
        let epochs = read_metrics(&workplace.run(run).metrics()).unwrap().len();
        assert!((1..4).contains(&epochs) && !workplace.run(run).training_record().exists(), "{epochs} epochs are over");
    };
    failing("cuda");
    let said = succeeds(&mut workplace.cuda("cuda", &["--precision", "f32", "--resume"]));
    assert!(said.contains("resuming after epoch"), "{said}");
    assert!(checkpoint(&workplace.run("cuda")) == checkpoint(&workplace.run("whole")));
    failing("cpu");
    succeeds(&mut workplace.command(standin::folder(), "cpu", &["--engine", "cpu", "--resume"]));
    agree(&workplace.run("cpu"), &workplace.run("whole"), 1e-4);
}

#[test]
fn other_versions_of_the_libraries_that_go_on_are_noted() {
    let workplace = Workplace::new();
    succeeds(&mut workplace.cuda("run", &["--epochs", "2"]));
    succeeds(workplace.cuda("run", &["--epochs", "3", "--resume"]).env("STANDIN_CUBLASLT", "130102"));
    let arguments = arguments(&workplace.run("run"));
    assert_eq!(arguments["cublaslt"], "13.1.2");
    let versions: Vec<_> = arguments["engines"].as_array().unwrap().iter().map(|by| &by["cublaslt"]).collect();
    assert_eq!(versions, ["13.0.0", "13.1.2"]);
}

#[test]
fn results_that_are_there_stay_those_of_their_engine_and_others_name_what_judged_them() {
    let workplace = Workplace::new();
    let run = workplace.run("run");
    let on_cpu = || workplace.command(standin::folder(), "run", &["--engine", "cpu", "--resume"]);
    let results =
        || [run.training_record(), run.checkpoint(), run.reference_logits()].map(|path| fs::read(path).unwrap());
    succeeds(&mut workplace.cuda("run", &["--precision", "bf16"]));
    let trained = results();
    succeeds(&mut on_cpu());
    assert!(results() == trained && !arguments(&run).contains_key("judged_by"));

    // Without them, the processor judges what the device has trained; with them, nothing does.
    fs::remove_file(run.reference_logits()).unwrap();
    succeeds(&mut on_cpu());
    let (judged, mut of_both) = (results(), arguments(&run));
    assert_eq!(of_both.remove("judged_by").unwrap(), json!({"engine": "cpu", "precision": "f32"}));
    succeeds(&mut workplace.cuda("run", &["--precision", "bf16", "--resume"]));
    assert!(results() == judged);
    // The device judges as it did, in whatever precision it trains.
    fs::remove_file(run.training_record()).unwrap();
    succeeds(&mut workplace.cuda("run", &["--precision", "tf32", "--resume"]));
    assert!(results() == trained && arguments(&run) == of_both);
}

#[test]
fn bias_relu_and_their_gradients_are_left_to_the_products_where_nothing_comes_between() {
    let workplace = Workplace::new();
    for (flags, expected) in [
        (
            &["--precision", "f32"][..],
            ["RELU_AUX_BIAS, RELU_AUX_BIAS, DEFAULT", "DRELU_BGRAD, DRELU_BGRAD", "DEFAULT, DEFAULT, BGRADB"],
        ),
        (&["--precision", "bf16"], ["RELU_AUX_BIAS, RELU_AUX_BIAS, DEFAULT", "DRELU, DRELU", "BGRADB, BGRADB, BGRADB"]),
        (&["--dropout", "0.5"], ["DEFAULT, DEFAULT, DEFAULT", "DEFAULT, DEFAULT", "BGRADB, BGRADB, BGRADB"]),
    ] {
        let said = succeeds(&mut workplace.cuda("run", &[flags, &["-v", "--epochs", "1"]].concat()));
        for (kind, expected) in ["forward", "backward", "weight"].iter().zip(expected) {
            let line = format!("products of 64 images, {kind}: {expected}\n");
            assert!(said.contains(&line), "no `{line}` in\n{said}");
        }
    }
}

#[test]
fn products_without_epilogues_train_the_same_network() {
    let workplace = Workplace::new();
    succeeds(&mut workplace.cuda("all", &["--precision", "f32"]));
    // RELU_AUX_BIAS, DRELU_BGRAD, BGRADB; then DRELU_BGRAD alone.
    for (refused, name) in [("134 152 512", "none"), ("152", "some")] {
        let said =
            succeeds(workplace.cuda(name, &["--precision", "f32", "-v"]).env("STANDIN_REFUSED_EPILOGUES", refused));
        let products = if name == "none" { "backward: DEFAULT, DEFAULT" } else { "backward: DRELU, DRELU" };
        assert!(said.contains(products), "{said}");
        agree(&workplace.run(name), &workplace.run("all"), 1e-4);
    }
}

#[test]
fn auto_takes_the_gpu_where_there_is_one_and_says_why_not_where_there_is_none() {
    let workplace = Workplace::new();
    let said = succeeds(&mut workplace.command(standin::folder(), "gpu", &[]));
    assert!(said.contains("train: engine cuda, as this machine has Stand-in 0 (device 0)"), "{said}");
    let said = succeeds(&mut workplace.command(&workplace.without(&["libcuda"]), "none", &[]));
    assert!(said.contains("train: engine cpu, as there is no CUDA driver: "), "{said}");
    let said = succeeds(&mut workplace.command(&workplace.without(&["libcublasLt"]), "part", &[]));
    assert!(
        said.contains("train: engine cpu, as the CUDA library `libcublasLt.so` is missing; looked for in `"),
        "{said}"
    );
    let said = succeeds(workplace.command(standin::folder(), "old", &[]).env("STANDIN_CAPABILITY", "75"));
    assert!(said.contains("train: engine cpu, as device 0 (Stand-in 0) has compute capability 7.5, but 8.0"), "{said}");
    let said = succeeds(&mut workplace.command(standin::folder(), "f16", &["--precision", "f16"]));
    assert!(said.contains("train: engine cpu, as no other has f16 products"), "{said}");
    let said = fails(&mut workplace.command(&workplace.without(&["libcuda"]), "no", &["--precision", "bf16"]), 2);
    assert!(
        said.contains("the CPU engine has no bf16 products (the CPU was chosen because there is no CUDA driver"),
        "{said}"
    );
}

#[test]
fn the_libraries_that_were_found_are_those_that_are_used_whatever_the_system_has() {
    let workplace = Workplace::new();
    let system = workplace.path().join("system");
    fs::create_dir(&system).unwrap();
    let [driver, driver_of_system] = [standin::folder(), &system].map(|folder| folder.join("libcuda.so.1"));
    std::os::unix::fs::symlink(driver, driver_of_system).unwrap();
    // Libraries of other names and functions, in the place of an installed CUDA.
    for name in ["libnvrtc.so", "libnvrtc.so.13", "libcublasLt.so", "libcublasLt.so.13"] {
        std::os::unix::fs::symlink(standin::folder().join("libcuda.so.1"), system.join(name)).unwrap();
    }
    let mut command = workplace.cuda("run", &[]);
    succeeds(command.env("LD_LIBRARY_PATH", &system));
    let mut command = workplace.cuda("none", &[]);
    let said = fails(command.env("LD_LIBRARY_PATH", &system).env("CUDA_LIBRARIES", &system), 1);
    let broken = "libnvrtc.so.13` does not load: ";
    assert!(said.contains(broken) && said.contains("undefined symbol: nvrtcVersion"), "{said}");
}

#[test]
fn a_broken_library_in_a_folder_that_was_named_is_an_error_and_no_other_one_is_taken() {
    let workplace = Workplace::new();
    let home = workplace.path().join("home");
    fs::create_dir_all(home.join("lib64")).unwrap();
    fs::write(home.join("lib64/libcublasLt.so.13"), "half of a downl").unwrap();
    let said = fails(workplace.cuda("run", &[]).env("CUDA_HOME", &home), 1);
    assert!(said.contains("home/lib64/libcublasLt.so.13` does not load: "), "{said}");
    assert!(said.contains("hint: where `make` has set its folder up, remove the folder"), "{said}");
}

#[test]
fn of_several_versions_of_a_library_the_latest_that_the_driver_supports_is_taken() {
    let workplace = Workplace::new();
    let folder = workplace.without(&[]);
    // The stand-in says that it is of CUDA 13 whatever its name.
    for name in ["libnvrtc.so", "libcublasLt.so"] {
        fs::copy(standin::folder().join(format!("{name}.13")), folder.join(format!("{name}.12"))).unwrap();
    }
    let found = |driver: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        finding(command.arg("--engines"), &folder);
        succeeds(command.env("STANDIN_DRIVER", driver))
    };
    let said = found("12040");
    assert!(said.contains("/libnvrtc.so.12` is of CUDA 13, but the driver is of CUDA 12.4"), "{said}");
    let said = found("13000");
    assert!(said.contains("/libnvrtc.so.13") && said.contains("/libcublasLt.so.13") && !said.contains(".12"), "{said}");
}

#[test]
fn a_device_that_the_compiler_does_not_know_trains_too() {
    let workplace = Workplace::new();
    succeeds(workplace.cuda("run", &[]).env("STANDIN_CAPABILITY", "130"));
}

#[test]
fn a_precision_that_the_engine_has_not_is_refused() {
    let said = fails(&mut Workplace::new().cuda("run", &["--precision", "f16"]), 2);
    assert!(said.contains("the CUDA engine has no f16 products"), "{said}");
    assert!(said.contains("hint: leave out --precision, or train with --engine cpu"), "{said}");
}

#[test]
fn cuda_that_was_asked_for_and_is_not_there_is_an_error_that_names_what_is_missing() {
    let workplace = Workplace::new();
    let asked = |libraries: &Path| workplace.command(libraries, "run", &["--engine", "cuda"]);
    let said = fails(&mut asked(&workplace.without(&["libcuda"])), 1);
    assert!(said.contains("there is no CUDA driver") && said.contains("hint: install NVIDIA's driver"), "{said}");
    let said = fails(&mut asked(&workplace.without(&["libnvrtc"])), 1);
    assert!(said.contains("`libnvrtc.so` is missing") && said.contains("hint: run `make train ENGINE=cuda`"), "{said}");
    let said = fails(asked(standin::folder()).env("STANDIN_DEVICES", "0"), 1);
    assert!(said.contains("the CUDA driver shows no device") && said.contains("CUDA_VISIBLE_DEVICES"), "{said}");
    let said = fails(asked(standin::folder()).env("STANDIN_DRIVER", "12040"), 1);
    assert!(said.contains("is of CUDA 13, but the driver is of CUDA 12.4"), "{said}");
    for (code, hint) in [
        ("802", "hint: start NVIDIA's fabric manager"),
        ("803", "hint: the driver's library and its kernel module are of two versions"),
        ("999", "hint: install NVIDIA's driver"),
    ] {
        let said = fails(asked(standin::folder()).env("STANDIN_INIT", code), 1);
        assert!(said.contains("the CUDA driver does not start: ") && said.contains(hint), "{said}");
    }
    let said = fails(asked(standin::folder()).args(["--device", "3"]), 1);
    assert!(said.contains("there is no CUDA device 3: this machine has 1"), "{said}");
    assert!(!workplace.path().join("run").exists());
}

#[test]
fn a_device_that_is_named_is_asked_for_whatever_the_engine_s_default_is() {
    let workplace = Workplace::new();
    let named = |libraries: &Path, arguments: &[&str]| workplace.command(libraries, "run", arguments);
    let without = workplace.without(&["libcuda"]);
    let said = fails(&mut named(&without, &["--device", "0"]), 1);
    assert!(said.contains("there is no CUDA driver"), "{said}");
    let said = fails(&mut named(standin::folder(), &["--device", "7"]), 1);
    assert!(said.contains("there is no CUDA device 7: this machine has 1"), "{said}");
    let said = fails(&mut named(standin::folder(), &["--device", "0", "--precision", "f16"]), 2);
    assert!(said.contains("the CUDA engine has no f16 products"), "{said}");
    let said = fails(&mut named(standin::folder(), &["--engine", "cpu", "--device", "7"]), 2);
    assert!(said.contains("--device 7 names a GPU, but --engine cpu computes on the processor"), "{said}");
    assert!(said.contains("hint: leave out one of the two"), "{said}");
    assert!(!workplace.path().join("run").exists());
    let said = succeeds(&mut named(standin::folder(), &["--device", "0"]));
    assert!(said.contains("cuda (Stand-in 0, device 0)"), "{said}");
    // A number decides nothing, and is not recorded.
    assert_eq!(arguments(&workplace.run("run"))["device"], "Stand-in 0");
}

#[test]
fn the_engines_are_listed_with_what_they_need() {
    let workplace = Workplace::new();
    let engines = |libraries: &Path, capability: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        finding(command.arg("--engines"), libraries);
        succeeds(command.env("STANDIN_CAPABILITY", capability))
    };
    let said = engines(standin::folder(), "90");
    for expected in [
        "✓",
        "libcuda.so 13.0 ",
        "libnvrtc.so 13.0 ",
        "libcublasLt.so 13.0.0 ",
        "device 0: Stand-in 0, 64.0 GiB, compute capability 9.0",
        standin::folder().to_str().unwrap(),
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    assert!(!said.contains('✗'), "{said}");
    let said = engines(standin::folder(), "75");
    let reason = "device 0 (Stand-in 0) has compute capability 7.5, but 8.0 or higher is needed";
    assert!(said.contains('✗') && said.contains(reason) && said.contains("hint: "), "{said}");
    let said = engines(&workplace.without(&["libcuda"]), "90");
    assert!(said.contains('✗') && said.contains("there is no CUDA driver") && said.contains("hint: "), "{said}");
}
