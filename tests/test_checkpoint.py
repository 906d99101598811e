"""safetensors and NumPy open what `train` writes."""

import hashlib
import json

import numpy
import pytest
from conftest import read
from safetensors import safe_open
from safetensors.numpy import load_file


def test_safetensors_opens_the_checkpoint_as_a_sequential_s_state_dict(run_directory):
    tensors = load_file(run_directory / "checkpoint.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "0.weight": (256, 784), "0.bias": (256,), "2.weight": (10, 256), "2.bias": (10,),
    }
    assert all(tensor.dtype == numpy.float32 for tensor in tensors.values())
    with safe_open(run_directory / "checkpoint.safetensors", "numpy") as file:
        description = json.loads(file.metadata()["checkpoint"])
    assert description["model"]["classes"] == list("ABCDEFGHIJ")
    assert description["provenance"]["arguments"]["epochs"] == 3


def test_safetensors_opens_the_state_with_adam_s_moments(run_directory):
    tensors = load_file(run_directory / "training-state.safetensors")
    for name in ["0.weight", "0.bias", "2.weight", "2.bias"]:
        assert tensors[name].shape == tensors[f"exp_avg.{name}"].shape == tensors[f"exp_avg_sq.{name}"].shape
    assert (tensors["exp_avg_sq.0.weight"] >= 0).all() and tensors["exp_avg_sq.0.weight"].any()


def test_the_record_names_the_digests_of_what_lies_beside_it(run_directory):
    record = json.loads((run_directory / "training.json").read_text())
    for key, name in [("checkpoint", "checkpoint.safetensors"), ("metrics", "metrics.jsonl"),
                      ("reference_logits", "reference-logits.npy")]:
        assert hashlib.sha256((run_directory / name).read_bytes()).hexdigest() == record[key]


def test_metrics_are_a_json_object_a_line(run_directory):
    metrics = [json.loads(line) for line in (run_directory / "metrics.jsonl").read_text().splitlines()]
    timings = [json.loads(line) for line in (run_directory / "timings.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in metrics] == [line["epoch"] for line in timings] == [1, 2, 3]
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]


def test_numpy_s_validation_accuracy_and_loss_are_the_record_s(run_directory, shards):
    record = json.loads((run_directory / "training.json").read_text())
    dataset = json.loads((shards / "dataset.json").read_text())
    weights = load_file(run_directory / "checkpoint.safetensors")
    images, labels = read(shards, "valid", "images"), read(shards, "valid", "labels")
    inputs = ((images / 255 - dataset["mean"]) / dataset["standard_deviation"]).reshape(len(images), -1)
    hidden = numpy.maximum(inputs @ weights["0.weight"].T + weights["0.bias"], 0)
    logits = hidden @ weights["2.weight"].T + weights["2.bias"]
    shifted = logits - logits.max(1, keepdims=True)
    losses = numpy.log(numpy.exp(shifted).sum(1)) - shifted[numpy.arange(len(labels)), labels]
    assert record["valid_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert record["valid_accuracy"] == pytest.approx((logits.argmax(1) == labels).mean(), abs=1e-9)
    reference = numpy.load(run_directory / "reference-logits.npy")
    assert numpy.abs(reference - logits[: len(reference)]).max() < 1e-4
