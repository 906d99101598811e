"""The stages' binaries by hand, on a small archive, in a folder of their own."""

import os
import shutil
import subprocess

from conftest import BINARIES, PROJECT
from test_make import write_archive

STAGES = ["fetch", "preprocess", "train", "export", "evaluate"]
# The stage without those before it.
STRAIGHT = "preprocess --archive"
# What each stage writes, of which nothing but finished files is visible.
OUTPUTS = {
    "fetch": ["data/raw"],
    "preprocess": ["data/shards"],
    STRAIGHT: ["data/shards"],
    "train": ["run/checkpoint.safetensors", "run/metrics.jsonl", "run/reference-logits.npy", "run/training.json"],
    "export": ["run/model.onnx", "run/export.json"],
    "evaluate": ["run/report"],
}
# What the clock says, and what a training alone reads.
OTHERS = ("timings", "training-state")


class Stages:
    def __init__(self, folder):
        self.folder = folder

    def command(self, stage):
        return [BINARIES / stage.split()[0], *{
            "fetch": ["--archive", "letters.tar.gz", "--output", "data/raw", "--force"],
            "preprocess": ["--input", "data/raw", "--output", "data/shards"],
            STRAIGHT: ["--archive", "letters.tar.gz", "--output", "data/shards"],
            "train": ["--dataset", "data/shards", "--run", "run", "--hidden", "8", "--epochs", "6", "--engine", "cpu", "--resume"],
            "export": ["--run", "run"],
            "evaluate": ["--run", "run", "--dataset", "data/shards", "--provider", "cpu"],
        }[stage]]

    def start(self, stage, **options):
        return subprocess.Popen(self.command(stage), cwd=self.folder, text=True, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, **options)

    def run(self, stage, **options):
        """Runs a stage to its end; its exit code and what it said."""
        process = self.start(stage, **options)
        _, said = process.communicate()
        return process.returncode, said

    def run_well(self, *stages):
        for stage in stages:
            code, said = self.run(stage)
            assert code == 0, said

    def outputs(self, stage):
        """Every finished file of a stage, by name."""
        found = {}
        for name in OUTPUTS[stage]:
            place = self.folder / name
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                name = path.relative_to(self.folder)
                unfinished = any(part.startswith(".") for part in name.parts)
                if path.is_file() and not unfinished and not path.name.startswith(OTHERS):
                    found[name.as_posix()] = path.read_bytes()
        return found

    def leftovers(self):
        """Files and folders that are not finished, and locks."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob(".*"))

    def remove(self, stage):
        for name in OUTPUTS[stage]:
            place = self.folder / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        if stage == "train":
            for path in [*self.folder.glob("run/training-state*"), *self.folder.glob("run/timings*")]:
                path.unlink()


def before(stage):
    """The stages that it needs."""
    return [] if stage == STRAIGHT else STAGES[:STAGES.index(stage)]


def small_chain(folder, images=60, side=8):
    """A folder with an archive to begin with."""
    write_archive(folder / "letters.tar.gz", seed=0, images=images, side=side)
    os.environ.setdefault("ORT_DYLIB_PATH", str(PROJECT / ".cache/onnxruntime/libonnxruntime.so"))
    return Stages(folder)
