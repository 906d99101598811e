"""The data and the figures of `make gpu-check`, as far as they need no GPU."""

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
