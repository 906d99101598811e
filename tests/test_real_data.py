"""The chain on real notMNIST images, where they are at hand."""

import json
import os
import pathlib

import pytest
from conftest import PROJECT, Chain

ARCHIVE = pathlib.Path(os.environ.get("NOTMNIST_ARCHIVE", PROJECT.parent / "shared/data/notMNIST_small_8k.tar.gz"))
BROKEN = ["train/A/RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png", "train/F/Q3Jvc3NvdmVyIEJvbGRPYmxpcXVlLnR0Zg==.png"]


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no real images at {ARCHIVE} (NOTMNIST_ARCHIVE names another place)")
def test_the_chain_on_real_images_names_the_broken_files_and_reaches_the_published_accuracy(tmp_path):
    chain = Chain(tmp_path)
    chain.make("all", ARCHIVE=ARCHIVE, RUN="real")
    dataset = json.loads((tmp_path / "data/notMNIST_small_8k/shards/dataset.json").read_text())
    assert [(rejected["file"], rejected["reason"]) for rejected in dataset["rejected"]] == [
        (name, "it is empty") for name in BROKEN
    ]
    report = json.loads((chain.run("real") / "report/report.json").read_text())
    # A two-layer perceptron on 6,300 images: between logistic regression's 89 % and what would be too good to be true.
    assert 0.87 < report["overall"]["without_duplicates"]["accuracy"]["value"] < 0.95
