"""`make reproduce`, `make lock` and `make verify`: the same bytes, and a chain whose every link is checked."""

import json
import os
import shutil
import subprocess

import numpy
import pytest
from conftest import BINARIES, PROJECT, Chain
from test_make import write_archive

VARIABLES = {"EPOCHS": 2, "HIDDEN": 8}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished chain on a small archive, with the archive's path."""
    folder = tmp_path_factory.mktemp("finished")
    write_archive(folder / "letters.tar.gz", seed=0)
    chain = Chain(folder)
    chain.make("all", ARCHIVE=folder / "letters.tar.gz", **VARIABLES)
    return chain


def copy_of(chain, folder):
    shutil.copytree(chain.folder, folder, dirs_exist_ok=True)
    return Chain(folder)


def verify(chain):
    return chain.make("verify", check=False, ARCHIVE=chain.folder / "letters.tar.gz")


def test_a_chain_that_nobody_touched_is_whole_to_the_archive(finished):
    done = verify(finished)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "verify: the chain is whole"
    archive = finished.folder / "letters.tar.gz"
    assert f"ok       {archive} is what {finished.folder}/data/letters/shards/dataset.json names" in done.stdout
    # By hand, as sha256sum has it.
    report = json.loads((finished.run("letters") / "report/report.json").read_text())
    said = subprocess.run(["sha256sum", finished.run("letters") / "model.onnx"], text=True, capture_output=True, check=True)
    assert said.stdout.split()[0] == report["provenance"]["inputs"]["model.onnx"]


@pytest.mark.parametrize("name", [
    "runs/letters/report/predictions.npy", "runs/letters/model.onnx", "runs/letters/training.json",
    "runs/letters/checkpoint.safetensors", "runs/letters/training-state.safetensors", "runs/letters/metrics.jsonl",
    "runs/letters/reference-logits.npy",
    "data/letters/shards/train/images-00000.npy", "data/letters/shards/valid/names-00000.txt",
    "data/letters/shards/removed.jsonl", "data/letters/shards/dataset.json", "data/letters/raw/source.json",
    "data/letters/raw/train/A/0003.png", "letters.tar.gz",
])
def test_a_changed_byte_anywhere_is_found_and_named(finished, tmp_path, name):
    chain = copy_of(finished, tmp_path)
    place = tmp_path / name
    bytes_ = bytearray(place.read_bytes())
    if bytes_:
        bytes_[len(bytes_) // 2] ^= 1
    else:
        bytes_ = b"\n"
    place.write_bytes(bytes_)
    done = verify(chain)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if line.startswith("BROKEN")]
    named = place.parents[2] if name.endswith(".png") else place
    assert any(str(named) in line for line in broken), done.stdout


def test_what_a_report_was_asked_with_is_told_apart_from_the_chain_s_files(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps({"A": 1, "B": 3}))
    numpy.save(tmp_path / "photos.npy", numpy.zeros((3, 8, 8), numpy.uint8))
    shutil.copytree(finished.run("letters") / "report", tmp_path / "other")
    archive = tmp_path / "letters.tar.gz"
    chain.make("all", ARCHIVE=archive, CROSS_VALIDATE=2, PRIOR=tmp_path / "mine.json",
               ESTIMATE_PRIOR=tmp_path / "photos.npy", COMPARE=tmp_path / "other/report.json", **VARIABLES)
    done = verify(chain)
    assert done.returncode == 0, done.stdout
    report = chain.run("letters") / "report/report.json"
    asked = [line for line in done.stdout.splitlines() if line.startswith("not here")]
    assert len(asked) == 3 and all(f"of which {report} recorded" in line for line in asked), done.stdout
    logits = chain.run("letters") / "out-of-sample-logits.npy"
    assert done.stdout.count(f"ok       {logits} is what") == 2

    changed = bytearray(logits.read_bytes())
    changed[-1] ^= 1
    logits.write_bytes(changed)
    done = verify(chain)
    assert done.returncode != 0
    assert sum(line.startswith(f"BROKEN   {logits} has SHA-256") for line in done.stdout.splitlines()) == 2


def test_a_data_set_straight_from_an_archive_is_verified_by_the_archive(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    data, archive = tmp_path / "data/letters", tmp_path / "letters.tar.gz"
    made = (data / "shards/dataset.json").read_bytes()
    shutil.rmtree(data)
    subprocess.run([BINARIES / "preprocess", "-q", "--archive", archive, "--output", data / "shards"], check=True)
    assert (data / "shards/dataset.json").read_bytes() == made
    done = verify(chain)
    assert done.returncode == 0, done.stdout
    assert f"not here {data}/raw: " in done.stdout
    assert f"ok       {archive} is what {data}/shards/dataset.json names" in done.stdout
    assert done.stdout.splitlines()[-1] == "verify: the chain is whole; not here: 1"

    archive.write_bytes(archive.read_bytes() + b"\n")
    done = verify(chain)
    assert done.returncode != 0 and f"BROKEN   {archive} has SHA-256" in done.stdout

    archive.unlink()
    done = verify(chain)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "verify: the chain is whole; not here: 2"


def test_a_test_archive_of_one_class_is_verified_too(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    archives = {"ARCHIVE": tmp_path / "letters.tar.gz", "TEST_ARCHIVE": tmp_path / "test.tar.gz"}
    write_archive(archives["TEST_ARCHIVE"], seed=9, images=25, letters="A")
    chain.make("all", **archives, **VARIABLES)
    done = chain.make("verify", check=False, **archives)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "verify: the chain is whole"
    dataset = tmp_path / "data/letters/shards/dataset.json"
    listed = f"ok       the images that {dataset} names are those in {archives['ARCHIVE']} and {archives['TEST_ARCHIVE']}"
    assert listed in done.stdout, done.stdout


def test_images_that_were_exchanged_before_the_data_set_was_made_are_not_those_of_the_archive(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    data, archive = tmp_path / "data/letters", tmp_path / "letters.tar.gz"
    one, other = data / "raw/train/A/0001.png", data / "raw/train/B/0001.png"
    contents = one.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0]), one.write_bytes(contents[1])
    shutil.rmtree(data / "shards")
    chain.make("all", ARCHIVE=archive, **VARIABLES)
    done = verify(chain)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if line.startswith("BROKEN")]
    assert len(broken) == 1 and broken[0].startswith(f"BROKEN   the images in {archive} have SHA-256"), done.stdout


def test_classes_that_were_counted_otherwise_are_found_out(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    path = tmp_path / "data/letters/shards/dataset.json"
    dataset = json.loads(path.read_text())
    counts = dataset["splits"]["train"]["images_by_class"]
    counts[0], counts[1] = counts[0] + 7, counts[1] - 7
    path.write_text(json.dumps(dataset))
    done = verify(chain)
    assert done.returncode != 0 and f"BROKEN   {path} does not count the labels of the train split" in done.stdout, done.stdout


def test_a_report_that_was_made_nicer_is_found_out(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    path = chain.run("letters") / "report/report.json"
    whole = json.loads(path.read_text())
    for change in [lambda report: report["overall"]["without_duplicates"]["accuracy"].update(value=0.9999),
                   lambda report: report["by_class"]["confusion_matrix"][0].reverse()]:
        report = json.loads(json.dumps(whole))
        change(report)
        path.write_text(json.dumps(report))
        done = verify(chain)
        assert done.returncode != 0 and f"BROKEN   {path} does not count what the labels" in done.stdout


def test_what_has_not_the_form_of_an_artifact_is_a_broken_link(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    for name, text in [("data/letters/shards/dataset.json", '{"splits": {"train": {}}}'),
                       ("runs/letters/training.json", '{"provenance": null}'),
                       ("runs/letters/report/report.json", '{"files": []}'),
                       ("data/letters/raw/source.json", '{"parts": [{}]}')]:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text(text)
        done = verify(chain)
        assert done.returncode != 0 and "cannot be followed further: " in done.stdout, done.stdout
        assert "Traceback" not in done.stdout
        (tmp_path / name).write_bytes(whole)


def test_names_that_are_no_ascii_are_read_in_any_locale(finished, tmp_path, monkeypatch):
    raw, archive = tmp_path / "raw", tmp_path / "letters.tar.gz"
    shutil.copytree(finished.folder / "data/letters/raw", raw)
    for name in ["Ä", "b é"]:
        shutil.copytree(raw / "train/A", raw / "train" / name)
    subprocess.run(["tar", "czf", archive, "-C", raw, "train"], check=True)
    chain = Chain(tmp_path)
    chain.make("all", ARCHIVE=archive, **VARIABLES)
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    done = verify(chain)
    assert done.returncode == 0, done.stdout


def test_a_state_whose_description_was_changed_is_found_and_a_missing_one_breaks_nothing(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    state = chain.run("letters") / "training-state.safetensors"
    written = state.read_bytes()
    state.write_bytes(written.replace(rb'\"epochs\":2', rb'\"epochs\":9'))
    assert state.read_bytes() != written
    done = verify(chain)
    assert done.returncode != 0 and f"BROKEN   {state} says what has SHA-256" in done.stdout
    state.write_bytes(b"no tensors")
    assert f"BROKEN   {state} cannot be read" in verify(chain).stdout
    state.unlink()
    done = verify(chain)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "verify: the chain is whole; not here: 1"


def test_a_missing_file_is_a_broken_link(finished, tmp_path):
    chain = copy_of(finished, tmp_path)
    for name in ["model.onnx", "export.json"]:
        (chain.run("letters") / name).unlink()
    done = verify(chain)
    assert done.returncode != 0
    assert "model.onnx is missing" in done.stdout and "export.json cannot be read" in done.stdout


def test_two_runs_however_different_give_the_same_bytes_and_a_lock_holds_them_to_it(finished, tmp_path):
    archive, lock = finished.folder / "letters.tar.gz", tmp_path / "reproduce.lock"
    arguments = {"ARCHIVE": archive, "LOCK": lock, **VARIABLES}
    finished.make("lock", **arguments)
    done = finished.make("reproduce", **arguments)
    lines = done.stdout.splitlines()
    assert lines[-1] == "reproduce: the same bytes"
    for name in ["data/shards/train/images-00000.npy", "run/checkpoint.safetensors", "run/model.onnx", "run/report/report.json"]:
        assert sum(line.split()[:1] == [name] and line.endswith("  same") for line in lines) == 2, name
    locked = json.loads(lock.read_text())
    direct = subprocess.run(["sha256sum", finished.run("letters") / "model.onnx"], text=True, capture_output=True, check=True)
    assert locked["artifacts"]["run/model.onnx"] == direct.stdout.split()[0]

    locked["artifacts"]["run/model.onnx"] = "0" * 64
    lock.write_text(json.dumps(locked))
    done = finished.make("reproduce", check=False, **arguments)
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if line.endswith("DIFFERS")][0].split()[0] == "run/model.onnx"

    other = finished.make("reproduce", check=False, **{**arguments, "HIDDEN": 9})
    assert other.returncode != 0 and "is of other arguments" in other.stdout
    assert "  training.json, hidden: [8] in the lock, [9] here" in other.stdout.splitlines(), other.stdout

    # On another processor, whole numbers and the accuracy alone are held to it.
    locked["machine"]["features"] = ["another"]
    lock.write_text(json.dumps(locked))
    done = finished.make("reproduce", **arguments)
    assert "features: ['another'] in the lock" in done.stdout
    locked["accuracy"] -= 0.02
    lock.write_text(json.dumps(locked))
    assert finished.make("reproduce", check=False, **arguments).returncode != 0


def test_runs_that_differ_are_told_by_the_exit_code(finished, tmp_path):
    # A `train` that is not what it was: it adds a byte to what the second run leaves.
    script = PROJECT / "python" / "reproduce.py"
    source = script.read_text().replace('digests(*second)', '{**digests(*second), "run/model.onnx": "f" * 64}')
    assert "f" * 64 not in script.read_text() and '"f" * 64' in source
    (tmp_path / "python").mkdir()
    changed = tmp_path / "python" / "reproduce.py"
    changed.write_text(source.replace("pathlib.Path(__file__).resolve().parent.parent", f"pathlib.Path({str(PROJECT)!r})"))
    variables = [f"ARCHIVE={finished.folder / 'letters.tar.gz'}", "RECIPE=course", "EPOCHS=2", "HIDDEN=8"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["python3", changed, *variables], text=True, capture_output=True, env=environment)
    assert done.returncode == 1
    assert "reproduce: 1 artifacts differ between the runs" in done.stdout
