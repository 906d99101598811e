"""The Makefile runs what has changed, and nothing else."""

import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import time

import numpy
import pytest
from conftest import BINARIES, PROJECT, Chain
from PIL import Image

STAGES = ["fetch", "preprocess", "train", "export", "evaluate"]


def ran(done):
    """The stages that make ran, in their order."""
    commands = re.findall(rf"^\S*release/({'|'.join(STAGES)}) ", done.stdout, re.MULTILINE)
    return commands


def write_archive(path, seed, images=60, side=8, letters="AB"):
    """A small archive of two letters, or one of them, in notMNIST's layout."""
    generator = numpy.random.default_rng(seed)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed, \
            tarfile.open(fileobj=packed, mode="w") as archive:
        for letter, low in [(letter, {"A": 0, "B": 100}[letter]) for letter in letters]:
            for index in range(images):
                png = io.BytesIO()
                Image.fromarray(generator.integers(low, low + 150, (side, side), dtype=numpy.uint8)).save(png, "PNG")
                info = tarfile.TarInfo(f"letters/{letter}/{index:04}.png")
                info.size = len(png.getvalue())
                archive.addfile(info, io.BytesIO(png.getvalue()))


@pytest.fixture
def small(tmp_path):
    """A chain on a small archive, with the variables that aim make at it."""
    write_archive(tmp_path / "letters.tar.gz", seed=0)
    return Chain(tmp_path), {"ARCHIVE": tmp_path / "letters.tar.gz", "EPOCHS": 2, "HIDDEN": 8}


def contents(folder):
    """Every file but those that tell the time, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("timings", "."))
    }


def test_the_chain_ends_with_the_test_accuracy_and_the_report_s_place(small):
    chain, variables = small
    done = chain.make("all", **variables)
    assert ran(done) == STAGES
    last = done.stdout.splitlines()[-4:]
    report = chain.run("letters") / "report" / "report.json"
    assert report.exists()
    assert any(line.startswith("accuracy ") for line in last), done.stdout
    assert last[-1] == f"all: {report}"


def test_a_second_make_runs_no_stage_and_writes_nothing(small):
    chain, variables = small
    chain.make("all", **variables)
    folders = [chain.folder / "data/letters", chain.run("letters")]
    before = [folder.stat().st_mtime_ns for folder in folders]
    assert ran(chain.make("all", **variables)) == []
    assert [folder.stat().st_mtime_ns for folder in folders] == before


def test_a_changed_variable_runs_the_stages_that_depend_on_it(small):
    chain, variables = small
    chain.make("all", **variables)
    for name, value, expected in [
        ("HIDDEN", "9", STAGES[2:]),
        ("EVALUATE_FLAGS", "--batch-size 16", STAGES[4:]),
        ("VALID_FRACTION", "0.2", STAGES[1:]),
        ("SEED", "4", STAGES[1:]),
        ("THREADS", "1", []),
    ]:
        variables[name] = value
        assert ran(chain.make("all", **variables)) == expected, name


def test_a_changed_archive_runs_everything(small):
    chain, variables = small
    chain.make("all", **variables)
    before = contents(chain.folder / "runs")
    write_archive(variables["ARCHIVE"], seed=1)
    assert ran(chain.make("all", **variables)) == STAGES
    assert contents(chain.folder / "runs") != before


def put_back(path):
    """Gives a file the age of one that lay in a drawer."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_an_older_archive_in_the_place_of_the_first_runs_everything(small):
    chain, variables = small
    chain.make("all", **variables)
    write_archive(variables["ARCHIVE"], seed=1)
    put_back(variables["ARCHIVE"])
    assert ran(chain.make("all", **variables)) == STAGES
    assert ran(chain.make("all", **variables)) == []


def test_an_older_prior_in_the_place_of_the_first_judges_again(small):
    chain, variables = small
    variables["PRIOR"] = chain.folder / "mine.json"
    variables["PRIOR"].write_text('{"A": 1, "B": 3}')
    chain.make("all", **variables)
    variables["PRIOR"].write_text('{"A": 3, "B": 1}')
    put_back(variables["PRIOR"])
    assert ran(chain.make("all", **variables)) == ["evaluate"]
    assert ran(chain.make("all", **variables)) == []


def test_a_variable_from_the_environment_counts(small, monkeypatch):
    chain, variables = small
    chain.make("all", **variables)
    del variables["HIDDEN"]
    monkeypatch.setenv("HIDDEN", "7")
    assert ran(chain.make("all", **variables)) == STAGES[2:]


def test_a_stage_that_fails_leaves_nothing_that_looks_finished(small):
    chain, variables = small
    chain.make("all", **variables)
    failed = chain.make("all", check=False, **variables, LEARNING_RATE="1e30")
    assert failed.returncode != 0 and ran(failed) == ["train"]
    assert "training diverged" in failed.stdout and "hint:" in failed.stdout
    again = chain.make("all", check=False, **variables, LEARNING_RATE="1e30")
    assert ran(again) == ["train"], "it is not taken for finished"
    assert ran(chain.make("all", **variables)) == [], "the earlier training was left as it is"


def test_a_mistyped_value_costs_nothing(small):
    chain, variables = small
    chain.make("all", **variables)
    for stage, mistyped in [("preprocess", {"SEED": "one"}), ("train", {"HIDDEN": "many"}), ("export", {"TEMPERATURE": "warm"})]:
        failed = chain.make("all", check=False, **{**variables, **mistyped})
        assert failed.returncode != 0 and ran(failed) == [stage]
        assert ran(chain.make("all", **variables)) == [], stage


def test_a_run_that_was_refused_is_not_done_when_the_other_one_is(small):
    chain, variables = small
    chain.make("preprocess", **variables)
    run = chain.run("letters")
    variables["EPOCHS"] = 1500
    first = chain.start("-s", "train", **variables, TRAIN_FLAGS="-q")
    while not (run / ".lock").exists() and first.poll() is None:
        time.sleep(0.001)
    refused = chain.make("train", check=False, **{**variables, "HIDDEN": 9})
    assert refused.returncode != 0 and "is being written to by process" in refused.stdout
    first.communicate()
    assert first.returncode == 0
    assert ran(chain.make("train", **variables)) == [], "it is done"
    assert ran(chain.make("train", **{**variables, "HIDDEN": 9})) == ["train"]


def test_every_output_that_is_gone_is_made_again(small):
    chain, variables = small
    variables["CROSS_VALIDATE"] = 2
    chain.make("all", **variables)
    whole = contents(chain.folder)
    run = chain.run("letters")
    first_of = [("data/letters/shards", STAGES[1:]), ("runs/letters/report", STAGES[4:]), ("runs/letters", STAGES[2:])]
    # Unpacked images are not looked at one by one; a figure is in the page, too; the state is for a resume alone.
    exempt = ("data/letters/raw", "data/letters/shards/dataset.json", "runs/letters/report/figures", "letters.tar.gz")
    names = [name for name in whole if not name.startswith(exempt) and "training-state" not in name]
    assert len(names) > 20 and "runs/letters/out-of-sample-logits.npy" in names
    for name in names:
        (chain.folder / name).unlink()
        done = chain.make("all", **variables)
        expected = next(stages for folder, stages in first_of if name.startswith(folder))
        expected = STAGES[3:] if name.endswith(("model.onnx", "export.json")) else expected
        assert ran(done) == expected, name
        assert contents(chain.folder) == whole, name
    assert (run / "report/figures").is_dir()


@pytest.mark.parametrize("name", ["raw/source.json", "shards/dataset.json"])
def test_a_folder_that_has_lost_its_mark_is_not_replaced(small, name):
    chain, variables = small
    chain.make("preprocess", **variables)
    (chain.folder / "data/letters" / name).unlink()
    done = chain.make("all", check=False, **variables)
    assert done.returncode != 0 and "it is not replaced" in done.stdout and "remove what is there" in done.stdout


# Values that are neither a default nor what another variable has. What names a place or a tool reaches no stage as it is.
VALUES = {"DATASET": "notmnist-small", "ARCHIVE": "mine.tar.gz", "TEST_ARCHIVE": "test.tar.gz", "RUN": "mine", "DATA": "there",
          "RUNS": "elsewhere", "RECIPE": "best", "RESUME": "1", "ENGINE": "cpu", "PROVIDER": "cpu", "ESTIMATE_PRIOR": "Makefile",
          "COMPARE": "README.md"}
OF_OTHER_TARGETS = {"LOCK": "reproduce", "SECONDS": "fuzz", "PYTHON": "verify", "QUICK": "bench"}


@pytest.mark.parametrize("variable", re.findall(r"^([A-Z_]+) \?=", (PROJECT / "Makefile").read_text(), re.MULTILINE))
def test_every_variable_decides_a_command(tmp_path, variable):
    value = VALUES.get(variable, f"{variable.lower()}-value")
    given = {variable: value, **({"ARCHIVE": "a.tar.gz"} if variable == "TEST_ARCHIVE" else {})}
    said = Chain(tmp_path).make("-n", OF_OTHER_TARGETS.get(variable, "all"), **given).stdout
    expected = {"RESUME": "--resume", "QUICK": "--quick", "ORT_DYLIB_PATH": f"by {value}"}.get(variable, value)
    commands = [line for line in said.splitlines() if "release/" in line or "python" in line or "fuzz/run" in line or "by " in line]
    assert any(expected in line for line in commands), said


def test_what_was_put_back_from_a_backup_is_not_taken_for_what_was_asked(small):
    chain, variables = small
    chain.make("all", **variables)
    shards, backup = chain.shards("letters"), chain.folder / "backup"
    shutil.copytree(shards, backup)
    chain.make("all", **variables, SEED=2)
    shutil.rmtree(shards)
    shutil.copytree(backup, shards)
    assert ran(chain.make("all", **variables, SEED=2)) == STAGES[1:]


def test_a_split_that_is_gone_is_made_again(small):
    chain, variables = small
    chain.make("all", **variables)
    shutil.rmtree(chain.shards("letters") / "test")
    assert ran(chain.make("preprocess", **variables)) == ["preprocess"]


def test_a_home_folder_that_the_shell_left_to_make_is_found(small, monkeypatch):
    chain, variables = small
    monkeypatch.setenv("HOME", str(chain.folder))
    variables |= {"DATA": "~/data", "RUNS": "~/runs"}
    assert ran(chain.make("all", **variables)) == STAGES
    assert ran(chain.make("all", **variables)) == []


def test_makes_on_one_data_set_do_not_disturb_each_other(small):
    chain, variables = small
    chain.make("all", **variables)
    several = [chain.start("train", **variables, RUN=f"run-{run}") for run in range(6)]
    for one in several:
        said, _ = one.communicate()
        assert one.returncode == 0, said


def test_another_onnxruntime_judges_again(small, tmp_path):
    chain, variables = small
    chain.make("all", **variables)
    library = os.environ.get("ORT_DYLIB_PATH", PROJECT / ".cache/onnxruntime/libonnxruntime.so")
    variables["ORT_DYLIB_PATH"] = tmp_path / "libonnxruntime.so"
    variables["ORT_DYLIB_PATH"].symlink_to(library)
    assert ran(chain.make("all", **variables)) == ["evaluate"]
    assert ran(chain.make("all", **variables)) == []
    failed = chain.make("all", check=False, **{**variables, "ORT_DYLIB_PATH": tmp_path / "absent.so"})
    assert failed.returncode != 0 and "absent.so" in failed.stdout


def test_the_binaries_are_built_where_they_are_looked_for(monkeypatch):
    monkeypatch.setenv("CARGO_BUILD_TARGET_DIR", "/elsewhere")
    said = subprocess.run(["make", "-n", "-W", "Cargo.toml", "build"], cwd=PROJECT, text=True, capture_output=True, check=True)
    assert f"--target-dir '{os.environ.get('CARGO_TARGET_DIR', 'target')}'" in said.stdout, said.stdout
    assert (BINARIES / "train").exists()


def test_parallel_make_gives_the_same_bytes(small, tmp_path):
    chain, variables = small
    chain.make("all", **variables)
    other = Chain(tmp_path / "other")
    assert ran(other.make("-j", "4", "all", **variables, THREADS=1)) == STAGES
    for folder in ["data", "runs"]:
        assert contents(chain.folder / folder) == contents(other.folder / folder)


def test_each_stage_has_a_target_that_runs_what_it_needs(small):
    chain, variables = small
    for index, stage in enumerate(STAGES):
        assert ran(chain.make(stage, **variables)) == [stage], f"stage {index}"


def test_a_separate_test_archive_is_what_the_model_is_judged_on(small, tmp_path):
    chain, variables = small
    write_archive(tmp_path / "test.tar.gz", seed=9, images=25)
    chain.make("all", **variables, TEST_ARCHIVE=tmp_path / "test.tar.gz")
    labels = numpy.load(chain.shards("letters") / "test" / "labels-00000.npy")
    assert len(labels) == 50


def test_clean_removes_the_run_and_leaves_the_archive_unpacked(small):
    chain, variables = small
    chain.make("all", **variables)
    chain.make("clean", **variables)
    assert not chain.run("letters").exists() and not chain.shards("letters").exists()
    assert ran(chain.make("all", **variables)) == STAGES[1:]


@pytest.mark.parametrize("variables", [
    {"RUN": "my run"}, {"DATA": "/tmp/a b"}, {"ARCHIVE": "it's.tar.gz"}, {"RUN": "`id`"}, {"TEST_ARCHIVE": "x.tar.gz"},
    {"RUN": "a*b"}, {"RUN": "a[b]"}, {"RUN": "a\\b"}, {"RUN": "a(b)"}, {"ARCHIVE": "a:b.tar.gz"}, {"ARCHIVE": "a;b.tar.gz"},
    {"RUN": ".."}, {"RUN": "../other"}, {"RUN": "/"}, {"RUN": "."}, {"DATASET": ""}, {"DATASET": ".."}, {"DATASET": "a/.."},
    {"RUNS": ""}, {"DATA": ""}, {"ARCHIVE": "../letters/"}, {"ARCHIVE": "a/.."}, {"ARCHIVE": "https://host/?id=5"},
    {"ARCHIV": "letters.tar.gz"}, {"epochs": 3},
])
@pytest.mark.parametrize("target", ["all", "clean"])
def test_values_that_make_cannot_work_with_are_refused_before_anything_is_done(tmp_path, variables, target):
    done = Chain(tmp_path).make(target, check=False, **variables)
    assert done.returncode != 0 and ran(done) == [] and "rm" not in done.stdout
    reasons = ["it may hold no blanks", "it may hold none of", "TEST_ARCHIVE goes with ARCHIVE", "is empty",
               "it is no folder's name", "is no variable of this Makefile"]
    assert sum(reason in done.stdout for reason in reasons) == 1, done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name, url, dataset", [
    ("letters(1).tar.gz", "{path}", "letters_1_"), ("-letters.tar.gz", "{path}", "-letters"), ("50%&more.tar.gz", "{path}", "50__more"),
    ("my letters.tar.gz", "file://{folder}/my%20letters.tar.gz", "my_20letters"),
])
def test_an_archive_s_name_may_hold_what_browsers_and_urls_put_in_it(tmp_path, name, url, dataset):
    write_archive(tmp_path / name, seed=0)
    chain = Chain(tmp_path)
    variables = {"ARCHIVE": url.format(path=tmp_path / name, folder=tmp_path), "EPOCHS": 1, "HIDDEN": 8}
    assert ran(chain.make("all", **variables)) == STAGES and (chain.shards(dataset) / "dataset.json").exists()
    verified = chain.make("verify", **variables).stdout
    assert "verify: the chain is whole" in verified
    if url == "{path}":
        assert f"ok       {tmp_path / name} is what" in verified


def test_a_url_s_query_and_fragment_are_no_part_of_the_name(tmp_path):
    for rest in ["?x=1&y=2", "#part"]:
        said = Chain(tmp_path).make("-n", "fetch", ARCHIVE=f"https://host/letters.tar.gz{rest}").stdout
        assert f"--archive='https://host/letters.tar.gz{rest}' --name='letters'" in said, said


def test_a_file_url_that_changes_runs_everything(small):
    chain, variables = small
    variables["ARCHIVE"] = f"file://{variables['ARCHIVE']}"
    chain.make("all", **variables)
    write_archive(chain.folder / "letters.tar.gz", seed=1)
    assert ran(chain.make("all", **variables)) == STAGES


def test_an_empty_run_name_is_the_data_set_s(small):
    chain, variables = small
    chain.make("all", **variables)
    chain.make("clean", **variables, RUN="")
    assert not chain.run("letters").exists() and chain.run("letters").parent.exists()


def test_help_lists_every_target_and_variable():
    text = subprocess.run(["make", "help"], cwd=PROJECT, text=True, capture_output=True, check=True).stdout
    makefile = (PROJECT / "Makefile").read_text()
    for name in re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE) + STAGES + ["all", "test", "lint", "clean"]:
        if name != "ORT_DYLIB_PATH":
            assert re.search(rf"^  {name} ", text, re.MULTILINE), name
