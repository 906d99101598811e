"""TensorBoard's own reader opens what `train --tensorboard` writes."""

import json
import subprocess

import numpy
import pytest
from conftest import BINARIES
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard")
    train(shards, folder, "--epochs", "3", "--ema-decay", "0.99", "--tensorboard")
    return folder


def train(shards, run, *arguments):
    command = [BINARIES / "train", "--dataset", shards, "--run", run, "--hidden", "16", "--engine", "cpu"]
    subprocess.run([*command, *arguments], check=True, capture_output=True)


def events(run):
    return list(EventFileLoader(str(run / "events.out.tfevents")).Load())


def test_every_figure_of_every_epoch_is_there(run):
    first, *epochs = events(run)
    assert first.file_version == "brain.Event:2"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tags = {
        "learning_rate": "learning_rate", "loss/train": "train_loss", "loss/valid": "valid_loss",
        "loss/valid_averaged": "averaged_valid_loss", "accuracy/valid": "valid_accuracy",
        "accuracy/valid_averaged": "averaged_valid_accuracy",
    }
    assert [event.step for event in epochs] == [1, 2, 3]
    for event, line in zip(epochs, metrics, strict=True):
        found = {value.tag: tensor_util.make_ndarray(value.tensor).item() for value in event.summary.value}
        assert found == {tag: numpy.float32(line[name]).item() for tag, name in tags.items()}


def test_a_resumed_training_goes_on_in_the_same_file(shards, run, tmp_path):
    train(shards, tmp_path, "--epochs", "2", "--ema-decay", "0.99", "--tensorboard")
    train(shards, tmp_path, "--epochs", "3", "--ema-decay", "0.99", "--tensorboard", "--resume")
    assert (tmp_path / "events.out.tfevents").read_bytes() == (run / "events.out.tfevents").read_bytes()


def test_a_training_without_it_leaves_no_older_file(shards, tmp_path):
    train(shards, tmp_path, "--epochs", "1", "--ema-decay", "0.99", "--tensorboard")
    assert (tmp_path / "events.out.tfevents").exists()
    train(shards, tmp_path, "--epochs", "1", "--ema-decay", "0.99")
    assert not (tmp_path / "events.out.tfevents").exists()


def test_the_reader_refuses_a_record_that_was_changed(run, tmp_path):
    """That is: it did compare the checksums of the others."""
    content = bytearray((run / "events.out.tfevents").read_bytes())
    content[-10] ^= 1
    (tmp_path / "events.out.tfevents").write_bytes(content)
    assert len(events(tmp_path)) == len(events(run)) - 1
