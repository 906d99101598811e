"""The data and the figures of `make gpu-check`, as far as they need no GPU."""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def check(tmp_path):
    spec = importlib.util.spec_from_file_location("check", ROOT / "bench/gpu_check/check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HERE = tmp_path
    return module


def test_the_small_data_set_is_repeated_to_full_size(check, tmp_path):
    images = numpy.arange(7 * 3 * 5, dtype=numpy.uint8).reshape(7, 3, 5)
    labels = numpy.array([0, 1, 2, 0, 1, 2, 0], dtype=numpy.uint8)
    (tmp_path / "shards/train").mkdir(parents=True)
    numpy.save(tmp_path / "shards/train/images.npy", images)
    numpy.save(tmp_path / "shards/train/labels.npy", labels)
    (tmp_path / "shards/train/names.txt").write_text("".join(f"{row}.png\n" for row in range(7)))
    parts = {part: {"path": f"train/{part}.{ending}"} for part, ending in [("images", "npy"), ("labels", "npy"), ("names", "txt")]}
    split = {"images": 7, "images_by_class": [3, 2, 2], "shards": [{"rows": 7, **parts}]}
    (tmp_path / "shards/dataset.json").write_text(json.dumps({"classes": ["A", "B", "C"], "splits": {"train": split}}))

    folder = check.full_size(tmp_path / "full", 17)
    repeated = numpy.load(folder / "train/images.npy")
    assert repeated.shape == (17, 3, 5) and (repeated == numpy.concatenate([images] * 3)[:17]).all()
    assert (numpy.load(folder / "train/labels.npy") == numpy.concatenate([labels] * 3)[:17]).all()
    assert len((folder / "train/names.txt").read_text().splitlines()) == 17
    found = json.loads((folder / "dataset.json").read_text())["splits"]["train"]
    assert (found["images"], found["shards"][0]["rows"], found["images_by_class"]) == (17, 17, [7, 5, 5])


def test_the_operations_of_a_step_are_those_of_its_products(check):
    # 784-256-10: forward and the gradient by each weight, and by the input of the second layer.
    assert check.flops_an_image("256", 784, 10) == 2 * (2 * 784 * 256 + 3 * 256 * 10)


PEER = """import json, sys, time
for line in sys.stdin:
    question = json.loads(line)
    if question["mode"] == "end": sys.exit(3)
    if question["mode"] == "hang": time.sleep(60)
    print(json.dumps({"error": "no"} if question["mode"] == "fail" else {"found": question["value"]}), flush=True)
"""


def test_a_peer_that_fails_ends_or_hangs_is_said_and_the_next_question_is_asked_all_the_same(check, tmp_path, monkeypatch):
    (tmp_path / "torch_peer.py").write_text(PEER)
    monkeypatch.setattr(check, "ANSWER_TIME", 1)
    peer = check.Peer({}, 0, tmp_path)
    for failures, (mode, reason) in enumerate([("fail", "no"), ("end", "it ended"), ("hang", "no answer in 1 s")], 1):
        assert peer.ask(mode="echo", value=failures) == failures
        assert peer.ask(mode=mode) is None
        assert len(check.failures) == failures and reason in check.failures[-1]
    peer.close()


def test_a_row_is_printed_as_soon_as_it_is_there_and_a_training_that_fails_leaves_the_others(check, tmp_path, capsys, monkeypatch):
    def train(variables, run, shards, *flags):
        if flags[flags.index("--precision") + 1] == "tf32":
            return check.fail("tf32")
        return [], [{"train_seconds": seconds} for seconds in (9.0, 0.5, 0.25, 1.0)], ["forward: DEFAULT"]

    monkeypatch.setattr(check, "train", train)

    class Peer:
        def ask(self, mode, **question):
            return {"peak": 1e12, "eager": 2.0}.get(mode)

    options = argparse.Namespace(peers=["eager", "graph"], precisions=["f32", "tf32", "bf16"], networks=["256"], batches=[64],
                                 device=0, images=1000, epochs=4)
    check.time_epochs({}, options, "device 0: a card", tmp_path, tmp_path, Peer(), float("inf"))
    lines = capsys.readouterr().out.splitlines()
    assert "device 0: a card" in lines
    share = 2000 * check.flops_an_image("256", 784, 10) / 1e12
    assert f"| 784-256-10 | 64 | f32 | 500.0 | 2,000 | {share:.1%} | 4.00 | - |" in lines
    assert sum(line.startswith("| 784") for line in lines) == 2 and check.failures == ["tf32"]
    check.time_epochs({}, options, "", tmp_path, tmp_path, None, 0.0)
    assert check.failures[-1].startswith("the minutes are over")


def test_the_card_is_what_the_engines_list_says_where_it_and_the_libraries_can_be_used(check):
    rows = ["✓ ┆ cuda ┆ libcuda.so 13.0 ┆ /x", "✓ ┆ cuda ┆ device 0: H200, 140 GiB ┆",
            "✗ ┆ cuda ┆ device 1 (old) has compute capability 7.5, but 8.0 or higher is needed ┆"]
    offer = "\n".join(["╭──╮", *(f"│ {row} │" for row in rows), "╰──╯"])
    assert check.card_of(offer, 0) == "device 0: H200, 140 GiB"
    assert check.card_of(offer, 1) is None and check.card_of(offer, 2) is None and check.card_of("", 0) is None
    assert check.card_of(offer.replace("✓ ┆ cuda ┆ lib", "✗ ┆ cuda ┆ lib"), 0) is None
