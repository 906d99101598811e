"""The chain, run once by `make all` in a folder of its own; what the tests judge is what it left there."""

import json
import os
import pathlib
import subprocess

import numpy
import onnx
import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release"


class Chain:
    """`make` with its data and runs in a folder, and the course's recipe, on the processor."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, *arguments, **variables):
        """Starts make, which prints both streams to `stdout`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        variables = {"DATA": self.folder / "data", "RUNS": self.folder / "runs", "RECIPE": "course", "ENGINE": "cpu",
                     "PROVIDER": "cpu", **variables}
        command = ["make", *arguments, *(f"{name}={value}" for name, value in variables.items())]
        return subprocess.Popen(command, cwd=PROJECT, env=environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def make(self, *arguments, check=True, **variables):
        """Runs make; gives back what it printed on both streams, with `returncode`."""
        started = self.start(*arguments, **variables)
        said, _ = started.communicate()
        done = subprocess.CompletedProcess(started.args, started.returncode, said)
        assert done.returncode == 0 or not check, done.stdout
        return done

    def shards(self, dataset="sample"):
        return self.folder / "data" / dataset / "shards"

    def run(self, name="sample"):
        return self.folder / "runs" / name


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """The finished chain on the embedded sample, with few epochs."""
    chain = Chain(tmp_path_factory.mktemp("chain"))
    chain.make("all", EPOCHS=3)
    return chain


@pytest.fixture(scope="session")
def shards(chain):
    return chain.shards()


@pytest.fixture(scope="session")
def run_directory(chain):
    return chain.run()


def read(shards, split, what):
    """The images or labels of a split."""
    dataset = json.loads((shards / "dataset.json").read_text())
    return numpy.concatenate([numpy.load(shards / part[what]["path"]) for part in dataset["splits"][split]["shards"]])


def check_onnx(model):
    """ONNX's own checks, and that the shapes that the model declares are those that ONNX infers without them."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)

    def by_name(values):
        return {value.name: value.type for value in values}

    assert by_name(model.graph.value_info) == by_name(inferred.graph.value_info)
    assert by_name(model.graph.output) == by_name(inferred.graph.output)


@pytest.fixture(scope="session")
def unlabelled(shards, tmp_path_factory):
    """A file of images of three classes, the first one most of all."""
    images, labels = read(shards, "train", "images"), read(shards, "train", "labels")
    some = [numpy.flatnonzero(labels == label)[:count] for label, count in [(0, 300), (1, 100), (4, 60)]]
    path = tmp_path_factory.mktemp("unlabelled") / "unlabelled.npy"
    numpy.save(path, images[numpy.concatenate(some)])
    return path


@pytest.fixture(scope="session")
def asked_run(chain, shards, unlabelled):
    """Another training, whose model has a temperature, with every question asked."""
    classes = json.loads((shards / "dataset.json").read_text())["classes"]
    prior = unlabelled.with_name("prior.json")
    prior.write_text(json.dumps({name: 1 + place for place, name in enumerate(classes)}))
    chain.make("all", RUN="asked", EPOCHS=1, TEMPERATURE=2, CROSS_VALIDATE=2, PRIOR=f"uniform split english {prior}",
               ESTIMATE_PRIOR=unlabelled, COMPARE=chain.run() / "report" / "report.json")
    return chain.run("asked")
