"""The chain, run once by `make all` in a folder of its own; what the tests judge is what it left there."""

import os
import pathlib
import subprocess

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release"


class Chain:
    """`make` with its data and runs in a folder, and the course's recipe."""

    def __init__(self, folder):
        self.folder = folder

    def make(self, *arguments, check=True, **variables):
        """Runs make; gives back what it printed on both streams, with `returncode`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        variables = {"DATA": self.folder / "data", "RUNS": self.folder / "runs", "RECIPE": "course", **variables}
        command = ["make", *arguments, *(f"{name}={value}" for name, value in variables.items())]
        done = subprocess.run(command, cwd=PROJECT, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
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
