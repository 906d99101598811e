#!/usr/bin/env python3
"""Measures the pipeline beside what a user would take instead, and writes a table to bench/RESULTS.md.

usage: run.py --data data/NAME --run runs/NAME [--quick]          (`make bench` gives what it needs)

The two sides of a row take turns, each in a process of its own; a row has the median of the turns, the lowest and the
highest. Ratios are ours to the peer's, of medians: above 1, we are faster.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
CORES = len(os.sched_getaffinity(0))
# Hidden layers, images in a step, epochs of a turn.
TRAININGS = [("256", 256, 12), ("1024,1024", 128, 3), ("1024,1024", 512, 3), ("1024,1024", 2048, 3),
             ("2048,2048,2048", 1024, 3)]
QUICK_TRAININGS = [("256", 256, 6), ("1024,1024", 128, 2)]


def output(*command, **options):
    """What a command prints; its complaints reach the person."""
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
                          **options).stdout


def seconds(*command, **options):
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, **options)
    return time.perf_counter() - start


def peer(script, *arguments):
    return output(sys.executable, HERE / "peers" / script, *arguments)


def ours(what, threads, *arguments, duration):
    return json.loads(output(BIN / "bench", what, "--threads", threads, "--seconds", duration, *arguments))["found"]


def busy_share(pause=1.0):
    """How much of all processors' time goes to whoever else is running."""
    def times():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    (before, idle_before) = times()
    time.sleep(pause)
    (after, idle_after) = times()
    return 1 - (idle_after - idle_before) / (after - before)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


class Table:
    """The rows, printed as they come."""

    def __init__(self):
        self.lines = []

    def section(self, title, unit, peer_name, limit=None):
        of_limit = " | of the limit" if limit else ""
        self.add(f"\n## {title}\n")
        self.add(f"| {unit} | ours (lowest to highest) | {peer_name} (lowest to highest) | ratio{of_limit} |")
        self.add("|---|---|---|---" + ("|---|" if limit else "|"))

    def row(self, name, turns, digits=0, lower_is_better=False, limit=None):
        mine, theirs = ([turn[side] for turn in turns] for side in (0, 1))
        show = lambda values: (f"**{statistics.median(values):,.{digits}f}** "
                               f"({min(values):,.{digits}f} to {max(values):,.{digits}f})")
        ratio = statistics.median(mine) / statistics.median(theirs)
        ratio = 1 / ratio if lower_is_better else ratio
        share = f" | {statistics.median(mine) / limit:.0%}" if limit else ""
        self.add(f"| {name} | {show(mine)} | {show(theirs)} | {ratio:.2f}{share} |")

    def add(self, line):
        self.lines.append(line)
        print(line, flush=True)


def turns(rounds, mine, theirs):
    return [(mine(), theirs()) for _ in range(rounds)]


def train(shards, hidden, batch, epochs, threads):
    """Images a second of the middle epoch."""
    with tempfile.TemporaryDirectory() as folder:
        output(BIN / "train", "-q", "--dataset", shards, "--run", folder, "--hidden", hidden, "--batch-size", batch,
               "--epochs", epochs, "--threads", threads)
        lines = (pathlib.Path(folder) / "timings.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["images_per_second"] for line in lines)


def peer_train(shards, hidden, batch, epochs, threads):
    lines = peer("train.py", shards, hidden, batch, epochs, threads).split()
    return statistics.median(float(line) for line in lines)


def evaluate(run, shards):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for name in ("training.json", "model.onnx", "checkpoint.safetensors", "reference-logits.npy", "metrics.jsonl"):
            shutil.copy(run / name, copy / name)
        output(BIN / "evaluate", "-q", "--run", copy, "--dataset", shards, "--threads", CORES)
        return json.loads((copy / "report" / "timings.json").read_text())["images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the data set: raw/ and shards/")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of a finished run on it")
    parser.add_argument("--quick", action="store_true", help="fewer rows and turns: under three minutes")
    arguments = parser.parse_args()
    shards, raw, run = arguments.data / "shards", arguments.data / "raw", arguments.run
    rounds, duration = (3, 0.1) if arguments.quick else (5, 0.5)
    images = sum(json.loads((shards / "dataset.json").read_text())["splits"][split]["images"]
                 for split in ("train", "valid", "test"))

    table = Table()
    busy = busy_share()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in
                         ("torch", "torchvision", "onnxruntime", "numpy", "pillow"))
    limits = {threads: ours("limits", threads, duration=duration) for threads in {1, CORES}}
    limit = {threads: found["multiply_add_gflops"] for threads, found in limits.items()}
    table.add("# Speed, beside what a user would take instead\n")
    table.add("Written by `make bench`" + (" QUICK=1" if arguments.quick else "") + f" on {time.strftime('%Y-%m-%d')}. "
              f"Each row has the median of {rounds} turns in which the two sides follow each other, each in a process of "
              "its own; a ratio above 1 says that we are faster.\n")
    table.add(f"- Processor: {processor()}, {CORES} cores for this process, "
              f"{json.loads(output(BIN / 'bench', 'limits', '--seconds', 0.01))['processor']} kernels")
    table.add(f"- Limits: multiply-adds in registers {limit[1]:.0f} GFLOP/s on one thread, {limit[CORES]:.0f} on "
              f"{CORES}; copying through memory {limits[CORES]['copy_gb_per_second']:.0f} GB/s on {CORES}")
    table.add(f"- Versions: {versions}, Python {platform.python_version()}, "
              f"{output('rustc', '--version').strip()}, Linux {platform.release().split('-')[0]}")
    table.add(f"- The machine was {'quiet' if busy < 0.05 else f'**not quiet** ({busy:.0%} busy with other work)'} "
              "when the measuring began.")

    table.section("Matrix products of a training step", "GFLOP/s, 784-1024-1024-10", "PyTorch", limit=True)
    for threads in sorted({1, CORES}):
        for batch in ([128] if arguments.quick else [128, 512, 2048]):
            arguments_ours = ("--batch", batch, "--sizes", "784,1024,1024,10")
            found = turns(rounds, lambda: ours("products", threads, *arguments_ours, duration=duration)["gflops"],
                          lambda: float(peer("products.py", batch, "784,1024,1024,10", threads, duration)))
            table.row(f"{threads} thread{'s' * (threads > 1)}, batch {batch}", found, limit=limit[threads])

    table.section("Training", f"images/s on {CORES} threads", "PyTorch")
    for hidden, batch, epochs in QUICK_TRAININGS if arguments.quick else TRAININGS:
        name = f"784-{hidden.replace(',', '-')}-10, batch {batch}"
        table.row(name, turns(rounds, lambda: train(shards, hidden, batch, epochs, CORES),
                              lambda: peer_train(shards, hidden, batch, epochs, CORES)))

    if CORES > 1:
        table.section("Training beside another process", "images/s", "the same on an idle machine")
        for name, side in (("ours", train), ("PyTorch", peer_train)):
            def beside_another():
                load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    return side(shards, "1024,1024", 128, 2, CORES)
                finally:
                    load.kill()
                    load.wait()
            found = turns(rounds, beside_another, lambda: side(shards, "1024,1024", 128, 2, CORES))
            table.row(f"{name}: 784-1024-1024-10, batch 128, a busy loop beside it", found)

    table.section("Data", "images/s", "torchvision's ImageFolder")
    with tempfile.TemporaryDirectory(dir=arguments.data) as folder:
        preprocess = lambda: images / seconds(BIN / "preprocess", "-q", "--input", raw, "--output",
                                              pathlib.Path(folder) / "shards", "--threads", CORES)
        found = turns(rounds, preprocess, lambda: float(peer("image_folder.py", raw / "train", CORES)))
        table.row(f"`preprocess` from a folder, all checks on, process start included; {CORES} workers", found)

    table.section("Inference", "images/s", "onnxruntime's Python API")
    found = turns(rounds, lambda: evaluate(run, shards),
                  lambda: float(peer("inference.py", run / "model.onnx", shards, 256, CORES, duration)))
    table.row("`evaluate`, batches of 256", found)

    (HERE / "RESULTS.md").write_text("\n".join(table.lines) + "\n")
    print(f"\nbench: {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
