"""The Makefile runs what has changed, and nothing else."""

import gzip
import io
import os
import re
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


def write_archive(path, seed, images=60, side=8):
    """A small archive of two letters in notMNIST's layout."""
    generator = numpy.random.default_rng(seed)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed, \
            tarfile.open(fileobj=packed, mode="w") as archive:
        for letter, low in [("A", 0), ("B", 100)]:
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
    variables["EPOCHS"] = 4000
    command = ["make", "train", f"DATA={chain.folder / 'data'}", f"RUNS={chain.folder / 'runs'}", "RECIPE=course",
               *(f"{name}={value}" for name, value in variables.items())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as first:
        while not (run / ".lock").exists() and first.poll() is None:
            time.sleep(0.001)
        refused = chain.make("train", check=False, **{**variables, "HIDDEN": 9})
        assert refused.returncode != 0 and "is being written to by process" in refused.stdout
        assert first.wait() == 0
    assert ran(chain.make("train", **variables)) == [], "it is done"
    assert ran(chain.make("train", **{**variables, "HIDDEN": 9})) == ["train"]


@pytest.mark.parametrize("name, expected", [
    ("data/letters/raw/source.json", None), ("data/letters/shards/removed.jsonl", STAGES[1:]),
    ("data/letters/shards/test/labels-00000.npy", STAGES[1:]), ("runs/letters/checkpoint.safetensors", STAGES[2:]),
    ("runs/letters/model.onnx", STAGES[3:]), ("runs/letters/report/report.html", STAGES[4:]),
])
def test_an_output_that_is_gone_is_made_again(small, name, expected):
    chain, variables = small
    chain.make("all", **variables)
    whole = contents(chain.folder)
    (chain.folder / name).unlink()
    done = chain.make("all", check=False, **variables)
    if expected is None:  # What lies there might be somebody's.
        assert done.returncode != 0 and "it is not replaced" in done.stdout and "remove what is there" in done.stdout
    else:
        assert ran(done) == expected and contents(chain.folder) == whole


def test_makes_on_one_data_set_do_not_disturb_each_other(small):
    chain, variables = small
    chain.make("all", **variables)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "train", f"DATA={chain.folder / 'data'}", f"RUNS={chain.folder / 'runs'}", "RECIPE=course",
               *(f"{name}={value}" for name, value in variables.items())]
    several = [subprocess.Popen([*command, f"RUN=run-{run}"], cwd=PROJECT, env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for run in range(6)]
    for one in several:
        said, _ = one.communicate()
        assert one.returncode == 0, said


def test_another_onnxruntime_judges_again(small, tmp_path):
    chain, variables = small
    chain.make("all", **variables)
    library = PROJECT / ".cache/onnxruntime/libonnxruntime.so"
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
    {"RUN": ".."}, {"RUN": "../other"}, {"DATASET": ""}, {"RUNS": ""}, {"DATA": ""},
])
@pytest.mark.parametrize("target", ["all", "clean"])
def test_values_that_make_cannot_work_with_are_refused_before_anything_is_done(tmp_path, variables, target):
    done = Chain(tmp_path).make(target, check=False, **variables)
    assert done.returncode != 0 and ran(done) == [] and "rm" not in done.stdout
    reasons = ["it may hold no blanks", "it may hold none of", "TEST_ARCHIVE goes with ARCHIVE", "is empty",
               "it is the name of a folder in"]
    assert sum(reason in done.stdout for reason in reasons) == 1, done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name, url, dataset", [
    ("letters(1).tar.gz", "{path}", "letters_1_"), ("-letters.tar.gz", "{path}", "-letters"), ("50%&more.tar.gz", "{path}", "50__more"),
    ("my letters.tar.gz", "file://{folder}/my%20letters.tar.gz", "my_20letters"),
])
def test_an_archive_s_name_may_hold_what_browsers_and_urls_put_in_it(tmp_path, name, url, dataset):
    write_archive(tmp_path / name, seed=0)
    chain = Chain(tmp_path)
    done = chain.make("preprocess", ARCHIVE=url.format(path=tmp_path / name, folder=tmp_path))
    assert ran(done) == STAGES[:2] and (chain.shards(dataset) / "dataset.json").exists()


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
