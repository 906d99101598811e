"""The Makefile runs what has changed, and nothing else."""

import gzip
import io
import re
import subprocess
import tarfile

import numpy
import pytest
from conftest import PROJECT, Chain
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


def test_a_second_make_runs_no_stage(small):
    chain, variables = small
    chain.make("all", **variables)
    assert ran(chain.make("all", **variables)) == []


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
    assert ran(chain.make("all", **variables)) == STAGES[2:]


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
])
def test_values_that_make_cannot_work_with_are_refused_before_anything_is_done(tmp_path, variables):
    done = Chain(tmp_path).make("all", check=False, **variables)
    assert done.returncode != 0 and ran(done) == []
    assert "it may hold no blanks" in done.stdout or "TEST_ARCHIVE goes with ARCHIVE" in done.stdout
    assert not any(tmp_path.iterdir())


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
