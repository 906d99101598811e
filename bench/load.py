"""The whole chain on large archives within little memory: the peak of each stage, and how it grows with the images.

    python3 bench/load.py ARCHIVE [ARCHIVE ...] [--memory 2048] [--threads 2] [--folder DIR]

Each stage runs by itself with its own memory bounded by the system (RLIMIT_DATA: what it allocates, not what it maps of
files), and fails if its resident memory, mapped files included, was ever above the bound. The peak of its own memory is the
largest of what the system said every few milliseconds. The table is printed, and written to bench/RESULTS.md.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import record

PROJECT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = PROJECT / os.environ.get("CARGO_TARGET_DIR", "target") / "release"
MEBIBYTE = 1 << 20


def bounded(command, memory, folder):
    """Runs a command within `memory` bytes; the peaks of its own and its resident memory in bytes, and its seconds."""
    def bound():
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, preexec_fn=bound, stdout=subprocess.DEVNULL)
    own, ended = 0, 0
    while not ended:
        own = max(own, anonymous(process.pid))
        time.sleep(0.003)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"load: {command[0].name} ended with {process.returncode} within {memory // MEBIBYTE} MiB")
    # Linux counts in KiB.
    return own, usage.ru_maxrss * 1024, time.perf_counter() - start


def anonymous(process):
    """The resident bytes of a process that are of no file; 0 when it has ended."""
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(archive, memory, threads, folder):
    """The peaks, the seconds and the bytes written of each stage, and the number of images."""
    threads = ["--threads", str(threads)]
    stages = {
        "fetch": (["--archive", archive, "--output", "data/raw"], "data/raw"),
        "preprocess": (["--input", "data/raw", "--output", "data/shards", *threads], "data/shards"),
        "preprocess --archive": (["--archive", archive, "--output", "data/streamed", *threads], "data/streamed"),
        "train": (["--dataset", "data/shards", "--run", "run", "--recipe", "course", "--epochs", "1", *threads], "run"),
        "export": (["--run", "run"], "run/model.onnx"),
        "evaluate": (["--run", "run", "--dataset", "data/shards", *threads], "run/report"),
    }
    found = {}
    for stage, (arguments, output) in stages.items():
        command = [BINARIES / stage.split()[0], "-q", *arguments]
        own, peak, seconds = bounded(command, memory, folder)
        place = folder / output
        written = size_of(place) if place.is_dir() else place.stat().st_size
        found[stage] = (own, peak, seconds, written)
        print(f"{archive.name}: {stage}: {own // MEBIBYTE} MiB of its own, {peak // MEBIBYTE} MiB resident, {seconds:.1f} s",
              file=sys.stderr, flush=True)
        if peak > memory:
            sys.exit(f"load: {stage} had {peak // MEBIBYTE} MiB resident, more than {memory // MEBIBYTE}")
    dataset = json.loads((folder / "data/shards/dataset.json").read_text())
    images = sum(split["images"] for split in dataset["splits"].values())
    return images, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=pathlib.Path)
    parser.add_argument("--memory", type=int, default=2048, help="in MiB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path, help="where to work; a temporary folder unless you say otherwise")
    options = parser.parse_args()
    os.environ.setdefault("ORT_DYLIB_PATH", str(PROJECT / ".cache/onnxruntime/libonnxruntime.so"))
    results = []
    for archive in options.archives:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="load-", dir=options.folder))
        try:
            results.append(run(archive.resolve(), options.memory * MEBIBYTE, options.threads, folder))
        finally:
            shutil.rmtree(folder)
    lines = [
        f"Written by `make load` on {time.strftime('%Y-%m-%d')}: {record.processor()}, {options.threads} threads, at most "
        f"{options.memory:,} MiB for each stage. What it means for more images is in "
        "[docs/trust.md](../docs/trust.md#load).\n",
        "| stage |" + "".join(f" {images:,} images: own peak, MiB | resident peak, MiB | seconds | MiB written |" for images, _ in results),
        "|---|" + "---|---|---|---|" * len(results),
    ]
    for stage in results[0][1]:
        cells = [
            f" {own / MEBIBYTE:.0f} | {peak / MEBIBYTE:.0f} | {seconds:.1f} | {written / MEBIBYTE:.1f} |"
            for own, peak, seconds, written in (found[stage] for _, found in results)
        ]
        lines.append(f"| {stage} |" + "".join(cells))
    print("\n".join(lines))
    record.write_memory(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
