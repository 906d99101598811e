"""The exported model and the report on it, against independent implementations of both.

The model is opened by ONNX's own checker and by onnxruntime from Python, its logits are computed again in NumPy from
the checkpoint, and the report is what this model says of these images. What is made of that is test_report.py's.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import check_onnx, read
from safetensors import safe_open

FILES = ["predictions.npy", "probabilities.npy", "logits.npy", "validation-logits.npy", "saliency.npy"]


@pytest.fixture(scope="module")
def model(run_directory: Path) -> onnx.ModelProto:
    return onnx.load(run_directory / "model.onnx")


@pytest.fixture(scope="module")
def report(run_directory: Path) -> dict:
    return json.loads((run_directory / "report" / "report.json").read_text())


@pytest.fixture(scope="module")
def dataset(shards: Path) -> dict:
    return json.loads((shards / "dataset.json").read_text())


@pytest.fixture(scope="module")
def images(shards: Path, report: dict) -> np.ndarray:
    return read(shards, report["split"], "images")


@pytest.fixture(scope="module")
def predicted(run_directory: Path) -> np.ndarray:
    return np.load(run_directory / "report" / "predictions.npy")


@pytest.fixture(scope="module")
def outputs(run_directory: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    return infer(run_directory / "model.onnx", images)


def infer(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = ["logits", "probabilities"]
    return dict(zip(names, session.run(names, {"images": images})))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def numpy_logits(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """The network's definition, in float64."""
    with safe_open(checkpoint, framework="numpy") as file:
        description = json.loads(file.metadata()["checkpoint"])["model"]
        tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
    values = (images.reshape(len(images), -1) / 255 - description["mean"]) / description["standard_deviation"]
    layers = len(description["hidden"]) + 1
    for layer in range(layers):
        values = values @ tensors[f"{2 * layer}.weight"].T + tensors[f"{2 * layer}.bias"]
        if layer < layers - 1:
            values = np.maximum(values, 0)
    return values


# The model


def test_onnx_passes_the_model_and_infers_the_declared_shapes(model: onnx.ModelProto) -> None:
    check_onnx(model)


def test_every_node_and_tensor_has_a_name_of_its_own(model: onnx.ModelProto) -> None:
    graph = model.graph
    nodes = [node.name for node in graph.node]
    tensors = [value.name for value in [*graph.input, *graph.initializer]]
    tensors += [name for node in graph.node for name in node.output]
    for names in (nodes, tensors):
        assert all(names) and len(set(names)) == len(names)
    assert {name for node in graph.node for name in node.input} <= set(tensors)
    described = {value.name for value in [*graph.input, *graph.output, *graph.value_info]}
    assert described | {tensor.name for tensor in graph.initializer} == set(tensors)


def test_inputs_and_outputs_have_the_documented_types_and_a_dynamic_batch(
    model: onnx.ModelProto, dataset: dict
) -> None:
    def form(value: onnx.ValueInfoProto) -> tuple:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]

    classes = len(dataset["classes"])
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    assert [form(value) for value in model.graph.input] == [
        ("images", uint8, ["N", dataset["height"], dataset["width"]])
    ]
    assert [form(value) for value in model.graph.output] == [
        ("logits", float32, ["N", classes]),
        ("probabilities", float32, ["N", classes]),
    ]
    assert all(value.doc_string for value in [*model.graph.input, *model.graph.output])


def test_metadata_names_classes_and_provenance(model: onnx.ModelProto, run_directory: Path, dataset: dict) -> None:
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["schema_version"] == 1
    assert metadata["model"]["classes"] == dataset["classes"]
    assert metadata["checkpoint"] == sha256(run_directory / "checkpoint.safetensors")
    assert (metadata["training"]["tool"], metadata["export"]["tool"]) == ("train", "export")
    assert model.producer_name == "export" and model.producer_version == metadata["export"]["version"]


def test_initializers_are_the_checkpoint_s_tensors(model: onnx.ModelProto, run_directory: Path) -> None:
    initializers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    with safe_open(run_directory / "checkpoint.safetensors", framework="numpy") as file:
        for name in file.keys():
            np.testing.assert_array_equal(initializers[name], file.get_tensor(name), err_msg=name)


def test_logits_are_those_of_numpy_on_the_checkpoint(
    run_directory: Path, images: np.ndarray, outputs: dict[str, np.ndarray]
) -> None:
    some = images[:1000]
    expected = numpy_logits(run_directory / "checkpoint.safetensors", some)
    difference = np.abs(outputs["logits"][: len(some)] - expected).max() / np.abs(expected).max()
    assert difference < 1e-5


def test_every_pixel_value_is_standardised(run_directory: Path, dataset: dict) -> None:
    shape = (256, dataset["height"], dataset["width"])
    flat = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], shape).copy()
    logits = infer(run_directory / "model.onnx", flat)["logits"]
    expected = numpy_logits(run_directory / "checkpoint.safetensors", flat)
    assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-5


def test_probabilities_are_the_softmax_of_the_logits(outputs: dict[str, np.ndarray]) -> None:
    logits = outputs["logits"].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        outputs["probabilities"], exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7
    )


def test_any_batch_size_gives_the_same_logits(run_directory: Path, images: np.ndarray) -> None:
    together = infer(run_directory / "model.onnx", images[:9])["logits"]
    alone = [infer(run_directory / "model.onnx", images[row : row + 1])["logits"] for row in range(len(together))]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=0, atol=1e-5 * np.abs(together).max())


# The report


def test_the_report_names_the_digests_of_its_inputs_and_files(run_directory: Path, shards: Path, report: dict) -> None:
    assert report["provenance"]["inputs"] == {
        "dataset.json": sha256(shards / "dataset.json"),
        "training.json": sha256(run_directory / "training.json"),
        "model.onnx": sha256(run_directory / "model.onnx"),
        "reference-logits.npy": sha256(run_directory / "reference-logits.npy"),
    }
    folder = run_directory / "report"
    assert report["files"] == {name: sha256(folder / name) for name in FILES}


def test_onnxruntime_in_python_agrees_on_every_image(
    run_directory: Path, outputs: dict[str, np.ndarray], predicted: np.ndarray
) -> None:
    probabilities = np.load(run_directory / "report" / "probabilities.npy")
    assert (predicted.dtype, probabilities.dtype) == (np.uint8, np.float32)
    np.testing.assert_allclose(probabilities, outputs["probabilities"], rtol=0, atol=1e-5)
    logits = np.load(run_directory / "report" / "logits.npy")
    np.testing.assert_allclose(logits, outputs["logits"], rtol=0, atol=1e-5 * np.abs(logits).max())
    # Two logits may be so close that the order of a sum decides between them.
    best = np.sort(outputs["logits"], axis=1)
    decided = best[:, -1] - best[:, -2] > 1e-5 * np.abs(best).max()
    np.testing.assert_array_equal(predicted[decided], outputs["logits"].argmax(axis=1)[decided])
    assert decided.mean() > 0.999


def test_parity_is_the_difference_from_the_trainer_s_logits(
    run_directory: Path, shards: Path, report: dict
) -> None:
    trainer = np.load(run_directory / "reference-logits.npy").astype(np.float64)
    validation = read(shards, "valid", "images")[: len(trainer)]
    model = infer(run_directory / "model.onnx", validation)["logits"]
    largest = np.abs(model - trainer).max() / np.abs(trainer).max()
    parity = report["parity"]
    assert parity["images"] == len(trainer)
    assert parity["largest_relative_difference"] <= parity["limit"] == 1e-4
    # The order of the sums may differ, so that the two differences are of the same size, not equal.
    assert abs(parity["largest_relative_difference"] - largest) < 1e-6


def test_times_are_not_in_the_report(run_directory: Path, report: dict) -> None:
    timings = json.loads((run_directory / "report" / "timings.json").read_text())
    assert timings["images"] == report["images"]
    assert [timing["stage"] for timing in timings["stages"]] == ["fetch", "preprocess", "export"]
    assert all(timing["seconds"] > 0 for timing in timings["stages"])
    inputs = {name: digest for name, digest in report["provenance"]["inputs"].items() if name != "reference-logits.npy"}
    assert timings["provenance"] == {**report["provenance"], "inputs": inputs}
    assert not any(key.endswith("seconds") for key in report)
    for latency in (timings["batch"], timings["one_image"]):
        assert 0 < latency["median_seconds"] <= latency["percentile_99_seconds"]
