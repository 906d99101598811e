"""What an ensemble is joined to, against NumPy, which takes the mean itself of networks that were trained one by one."""

import hashlib
import json
import subprocess

import numpy
import onnx
import onnxruntime
import pytest
from conftest import BINARIES, check_onnx, read
from safetensors.numpy import load_file

FLAGS = ["--engine", "cpu", "--epochs", "2", "--ema-decay", "0.99", "--augment", "light"]


def train(shards, run, *flags):
    command = [BINARIES / "train", "--dataset", shards, "--run", run, *FLAGS]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    return load_file(run / "checkpoint.safetensors"), json.loads((run / "training.json").read_text())


def logits_of(weights, images, dataset):
    values = ((images / 255 - dataset["mean"]) / dataset["standard_deviation"]).reshape(len(images), -1)
    layers = sorted({int(name.split(".")[0]) for name in weights})
    for layer in layers:
        values = values @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        values = values if layer == layers[-1] else numpy.maximum(values, 0)
    return values


def full(weights, groups):
    """With the weights of a layer of groups as those of a full one, most of which are 0."""
    found = dict(weights)
    for name, weight in weights.items():
        if name.endswith("weight") and weight.shape[1] * groups == len(weights.get(f"{int(name.split('.')[0]) - 2}.bias", ())):
            blocks = numpy.split(weight, groups)
            found[name] = numpy.block([[block if row == column else numpy.zeros_like(block) for column in range(groups)]
                                       for row, block in enumerate(blocks)])
    return found


def shifted(images, down, right):
    """With black coming in."""
    found = numpy.zeros_like(images)
    height, width = images.shape[1:]
    found[:, max(down, 0):height + min(down, 0), max(right, 0):width + min(right, 0)] = \
        images[:, max(-down, 0):height + min(-down, 0), max(-right, 0):width + min(-right, 0)]
    return found


@pytest.mark.parametrize("hidden, count, shift", [("24", 2, 1), ("none", 2, 0), ("12,9", 1, 2), ("12,9", 3, 1)])
def test_the_joined_network_gives_the_mean_of_its_networks_logits_over_the_shifts(shards, tmp_path, hidden, count, shift):
    flags = ["--hidden", hidden, "--ensemble", str(count), "--test-time-shift", str(shift), "--seed", "7"]
    joined, record = train(shards, tmp_path / "ensemble", *flags)
    seeds = [7, *(int.from_bytes(hashlib.sha256(f"7 network {network}".encode()).digest()[:8]) for network in
                  range(1, count))]
    networks = [train(shards, tmp_path / str(seed), "--hidden", hidden, "--seed", str(seed)) for seed in seeds]
    assert all(other["kept_weights"] == record["kept_weights"] for _, other in networks)

    dataset = json.loads((shards / "dataset.json").read_text())
    images, labels = read(shards, "valid", "images"), read(shards, "valid", "labels")
    places = [(0, 0), (0, shift), (0, -shift), (shift, 0), (-shift, 0)] if shift else [(0, 0)]
    expected = numpy.mean([logits_of(weights, shifted(images, *place), dataset)
                           for weights, _ in networks for place in places], axis=0)
    assert record["model"]["hidden"] == [count * len(places) * int(size) for size in hidden.split(",") if size != "none"]
    groups = count * len(places) if "," in hidden else 1
    assert record["model"]["groups"] == groups
    found = logits_of(full(joined, groups), images, dataset)
    assert numpy.abs(found - expected).max() < 1e-4
    parameters = sum(tensor.size for tensor in joined.values())
    # The networks have the last layer's bias in common.
    copies = sum(tensor.size for tensor in networks[0][0].values()) - len(dataset["classes"])
    assert hidden == "none" or parameters == count * len(places) * copies + len(dataset["classes"])
    found = numpy.load(tmp_path / "ensemble" / "reference-logits.npy")
    assert numpy.abs(found - expected[: len(found)]).max() < 1e-4
    assert record["valid_accuracy"] == pytest.approx((expected.argmax(1) == labels).mean(), abs=1e-9)

    subprocess.run([BINARIES / "export", "--run", tmp_path / "ensemble"], check=True, capture_output=True)
    model = onnx.load(tmp_path / "ensemble" / "model.onnx")
    check_onnx(model)
    # Two numbers are of the standardisation.
    assert sum(onnx.numpy_helper.to_array(tensor).size for tensor in model.graph.initializer) == parameters + 2
    session = onnxruntime.InferenceSession(tmp_path / "ensemble" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images})
    assert numpy.abs(found - expected).max() < 1e-4
    assert session.run(["logits"], {"images": images[:0]})[0].shape == (0, len(dataset["classes"]))

    command = [BINARIES / "evaluate", "--run", tmp_path / "ensemble", "--dataset", shards, "--provider", "cpu"]
    subprocess.run(command, check=True, capture_output=True)
    page = (tmp_path / "ensemble" / "report" / "report.html").read_text()
    assert (f"averages over images shifted by {shift} pixel" in " ".join(page.split())) == (shift > 0)
    assert ("copies, shifted, one is shown" in " ".join(page.split())) == (shift > 0)
    report = json.loads((tmp_path / "ensemble" / "report" / "report.json").read_text())
    assert report["making"]["parameters"] == parameters
    assert [layer["groups"] for layer in report["making"]["layers"]] == [
        groups if 0 < layer < len(report["making"]["layers"]) - 1 else 1 for layer in range(len(report["making"]["layers"]))]
    assert (f"(hidden layers in {groups} groups)" in page) == (f"Linear 2, in {groups} groups" in page) == (groups > 1)
    # Of each unit of each network, one copy.
    if hidden != "none":
        units = int(hidden.split(",")[0])
        learned = report["learned"]["first_layer"]
        found = {(unit["unit"] // (units * len(places)), unit["unit"] % units) for unit in learned}
        assert len(found) == len(learned) == count * units

    weights = full(joined, groups)
    test = read(shards, "test", "images")
    values = ((test / 255 - dataset["mean"]) / dataset["standard_deviation"]).reshape(len(test), -1)
    # The first layer's is the same for each image: the images come in as an axis with its units' being active.
    gradient, active = numpy.eye(values.shape[1]) / dataset["standard_deviation"], []
    for layer in range(len(report["learned"]["hidden_layers"])):
        weight = weights[f"{2 * layer}.weight"]
        values = numpy.maximum(values @ weight.T + weights[f"{2 * layer}.bias"], 0)
        gradient = (weight @ gradient) * (values > 0)[:, :, None]
        active.append((values > 0).mean())
    shares = [layer["mean_active_share"] for layer in report["learned"]["hidden_layers"]]
    numpy.testing.assert_allclose(shares, active, atol=1e-4)
    last = f"{2 * len(active)}"
    winners = (values @ weights[f"{last}.weight"].T + weights[f"{last}.bias"]).argmax(axis=1)
    slopes = numpy.abs((weights[f"{last}.weight"][winners][:, None] @ gradient)[:, 0])
    saliency = numpy.load(tmp_path / "ensemble" / "report" / "saliency.npy")
    for label in set(winners):
        expected = slopes[winners == label].mean(axis=0)
        numpy.testing.assert_allclose(saliency[label].ravel(), expected, rtol=1e-2, atol=1e-3 * expected.max())


def test_what_is_reported_of_groups_does_not_depend_on_the_threads(shards, tmp_path):
    """A product of stacked matrices would: with so many threads, some have a single row."""
    run = tmp_path / "run"
    train(shards, run, "--hidden", "1024,32", "--ensemble", "4")
    subprocess.run([BINARIES / "export", "--run", run], check=True, capture_output=True)
    found = []
    for threads in ["1", "16"]:
        command = [BINARIES / "evaluate", "--run", run, "--dataset", shards, "--provider", "cpu", "--batch-size", "16"]
        subprocess.run([*command, "--threads", threads], check=True, capture_output=True)
        found.append([(run / "report" / name).read_bytes() for name in ["logits.npy", "validation-logits.npy", "report.json"]])
    assert found[0] == found[1]
