#!/usr/bin/env python3
"""Measures the pipeline beside what a user would take instead, and writes a table to bench/RESULTS.md.

usage: run.py --data data/NAME --run runs/NAME [--quick]          (`make bench` gives what it needs)

The two sides of a row take turns, each in a process of its own, the other one first each time; a row has the median of the
turns, the lowest and the highest, and so for the ratio of the two in each turn. Before each turn it looks whether other work
is running, and marks the row if so, or if other machines on this hardware took some of the time, or if its turns' ratios
differ too much. Needs Linux.
"""
import argparse
import base64
import functools
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

from PIL import Image, ImageChops

import record

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
CORES = len(os.sched_getaffinity(0))
# Hidden layers, images in a step, epochs of a turn, of which the first does not count.
TRAININGS = [("256", 256, 31), ("1024,1024", 128, 4), ("1024,1024", 512, 4), ("1024,1024", 2048, 4),
             ("2048,2048,2048", 1024, 4)]
QUICK_TRAININGS = [("256", 256, 21), ("1024,1024", 128, 3)]
BUSY = 0.05
# How many times the lowest of the turns' ratios the highest may be, lest their median mean little.
UNSTEADY = 2
# A disk that has been written to for a while makes whoever creates the next ten thousand files wait for seconds, many times
# as long as what is compared: files lie in memory where there is room.
MEMORY = pathlib.Path("/dev/shm")
ROOM = 4 << 30


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


def times():
    """What all processors have spent in all, idle, and taken away by the hypervisor, in ticks."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4], fields[7]


def busy_share(pause=1.0):
    """How much of all processors' time goes to whoever else is running."""
    before, idle_before, _ = times()
    time.sleep(pause)
    after, idle_after, _ = times()
    return 1 - (idle_after - idle_before) / (after - before)


class Table:
    """The rows, printed as they come."""

    def __init__(self, rounds):
        self.lines, self.rounds, self.behind, self.disturbed = [], rounds, [], False

    def section(self, title, unit, mine, theirs, ratio, of_limit=False):
        self.add(f"\n## {title}\n")
        self.add(f"| {unit} | {mine} | {theirs} | {ratio}{' | of the limit' if of_limit else ''} |")
        self.add("|---|---|---|---" + ("|---|" if of_limit else "|"))

    def row(self, name, mine, theirs, digits=0, lower_is_better=False, limit=None, compares=True, turns=None):
        """Takes turns; `limit`, where there is one, is measured in each."""
        found, limits, busy = {mine: [], theirs: []}, [], 0
        before, _, stolen_before = times()
        for turn in range(turns or self.rounds):
            busy = max(busy, busy_share(0.5))
            for side in (mine, theirs) if turn % 2 == 0 else (theirs, mine):
                found[side].append(side())
            limits += [limit()] if limit else []
        after, _, stolen_after = times()
        stolen = (stolen_after - stolen_before) / max(after - before, 1)
        show = lambda values: (f"**{statistics.median(values):,.{digits}f}** "
                               f"({min(values):,.{digits}f} to {max(values):,.{digits}f})")
        mine, theirs = found[mine], found[theirs]
        ratios = [other / own if lower_is_better else own / other for own, other in zip(mine, theirs)]
        ratio = statistics.median(ratios)
        # Whatever else happens on the hardware only lowers a limit: the highest is the machine's.
        share = f" | {statistics.median(mine) / max(limits):.0%}" if limit else ""
        if compares and round(ratio, 2) < 1:
            self.behind.append(f"{name} ({ratio:.2f})")
        self.disturbed |= max(busy, stolen) > BUSY
        mark = " (other work was running)" if busy > BUSY else ""
        if stolen > BUSY:
            mark += f" (**disturbed**: {stolen:.0%} of the time went to other machines on this hardware)"
        if max(ratios) > UNSTEADY * min(ratios):
            mark += " (**unsteady**: its ratio means little)"
        self.add(f"| {name}{mark} | {show(mine)} | {show(theirs)} | "
                 f"**{ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}){share} |")

    def add(self, line):
        self.lines.append(line)
        print(line, flush=True)


def train(shards, hidden, batch, epochs, threads, seed=0, precision="f32"):
    """Images a second of the middle epoch, and the mean loss of the last."""
    with tempfile.TemporaryDirectory() as folder:
        output(BIN / "train", "-q", "--dataset", shards, "--run", folder, "--hidden", hidden, "--batch-size", batch,
               "--epochs", epochs, "--threads", threads, "--seed", seed, "--engine", "cpu", "--precision", precision)
        lines = (pathlib.Path(folder) / "timings.jsonl").read_text().splitlines()
        losses = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["images_per_second"] for line in lines]
    return statistics.median(rates[1:]), json.loads(losses[-1])["train_loss"]


def beside_f32(precision, others="PyTorch and the limit"):
    """What is added to the name of a row in a precision, where the others are in f32 all the same."""
    return "" if precision == "f32" else f", ours in {precision}, {others} in f32"


def peer_train(shards, hidden, batch, epochs, threads, seed=0):
    *rates, loss = (float(line) for line in peer("train.py", shards, hidden, batch, epochs, threads, seed).split())
    return statistics.median(rates[1:]), loss


def evaluate(run, shards):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for name in ("training.json", "model.onnx", "export.json", "checkpoint.safetensors", "reference-logits.npy",
                     "metrics.jsonl"):
            shutil.copy(run / name, copy / name)
        output(BIN / "evaluate", "-q", "--run", copy, "--dataset", shards, "--threads", CORES)
        batch = json.loads((copy / "report" / "timings.json").read_text())["batch"]
        return batch["images"] / batch["median_seconds"]


def write_larger(archive, letters):
    """Nine of each image below `letters` that can be read, moved by up to a pixel, each under a name of its own; returns how
    many."""
    count = 0
    offsets = list(itertools.product((0, 1, -1), repeat=2))
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        for path in sorted(letters.rglob("*.png")):
            try:
                glyph = Image.open(path).convert("L")
            except OSError:
                continue
            for number, offset in enumerate(offsets):
                encoded = io.BytesIO()
                ImageChops.offset(glyph, *offset).save(encoded, "png")
                name = base64.urlsafe_b64encode(f"{number}-{path.stem}".encode()).decode()
                member = tarfile.TarInfo(f"{letters.name}/{path.parent.name}/{name}.png")
                member.size = encoded.tell()
                encoded.seek(0)
                tar.addfile(member, encoded)
                count += 1
    return count


class Bench:
    """A section of the table from each method."""

    def __init__(self, arguments):
        self.shards, self.raw, self.run = arguments.data / "shards", arguments.data / "raw", arguments.run
        self.quick = arguments.quick
        rounds, self.duration = (2, 0.05) if self.quick else (5, 0.25)
        self.table = Table(arguments.rounds or rounds)
        self.machine = json.loads(output(BIN / "bench", "limits", "--seconds", 0.01))["machine"]
        self.precisions = ["f32", "f16"] if self.machine["has_halves"] else ["f32"]

    def head(self):
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in
                             ("torch", "torchvision", "onnxruntime", "numpy", "pillow"))
        limits = {threads: ours("limits", threads, duration=self.duration) for threads in {1, CORES}}
        add = self.table.add
        add("# Speed, beside what a user would take instead\n")
        add(f"Written by `make bench{' QUICK=1' if self.quick else ''}` on {time.strftime('%Y-%m-%d')}. Each row has the "
            f"median (lowest to highest) of {self.table.rounds} turns, or of as many as it says, in which the two sides follow "
            "each other, the other one first each time, each in a process of its own. A ratio is the median of the turns' "
            "ratios: what slows down both sides of a turn is not in it. Where the peer is named, above 1 says that we are "
            "faster.\n")
        add(f"- Processor: {record.processor()}, {CORES} cores for this process, {self.machine['processor']} kernels")
        add(f"- Limits: multiply-adds in registers {limits[1]['multiply_add_gflops']:.0f} GFLOP/s on one thread, "
            f"{limits[CORES]['multiply_add_gflops']:.0f} on {CORES}; copying through memory "
            f"{limits[CORES]['copy_gb_per_second']:.0f} GB/s (read and written) on {CORES}")
        add(f"- Versions: {versions}, Python {platform.python_version()}, "
            f"{output('rustc', '--version').strip()}, Linux {platform.release().split('-')[0]}")

    def products(self):
        self.table.section("Matrix products of a training step", "GFLOP/s, 784-1024-1024-10", "ours", "PyTorch", "ratio", True)
        for threads in sorted({1, CORES}):
            limit = lambda: ours("limits", threads, duration=0.1)["multiply_add_gflops"]
            for batch in ([128] if self.quick else [128, 512, 2048]):
                for precision in self.precisions:
                    halves = ["--halves"] if precision == "f16" else []
                    sizes = ("--batch", batch, "--sizes", "784,1024,1024,10", *halves)
                    self.table.row(
                        f"{threads} thread{'s' * (threads > 1)}, batch {batch}{beside_f32(precision)}",
                        lambda: ours("products", threads, *sizes, duration=self.duration)["gflops"],
                        lambda: float(peer("products.py", batch, "784,1024,1024,10", threads, self.duration)), limit=limit)
        if self.precisions == ["f32"]:
            self.table.add("\nNothing is measured in half precision: this processor has no instructions for it (AVX512-FP16).")
        self.table.add("\nOur operands lie as the engine keeps them; MKL packs PyTorch's within the time. What it costs our "
                       "engine to write them so is part of the trainings below.")

    def trainings(self):
        self.table.section("Training", f"images/s on {CORES} threads", "ours", "PyTorch", "ratio", True)
        losses = []
        for hidden, batch, epochs in QUICK_TRAININGS if self.quick else TRAININGS:
            widths = [784, *map(int, hidden.split(",")), 10]
            name = "-".join(map(str, widths)) + f", batch {batch}"
            weights = [one * other for one, other in zip(widths, widths[1:])]
            operations = 2 * (3 * sum(weights) - weights[0])  # nobody needs the gradient by the images

            def rate(side, found):
                """Images a second; the loss is added to what was found, each of another seed."""
                rate, loss = side(self.shards, hidden, batch, epochs, CORES, seed=len(found))
                found.append(loss)
                return rate

            for precision in self.precisions:
                of_ours, of_peer = [], []
                self.table.row(
                    name + beside_f32(precision), lambda: rate(functools.partial(train, precision=precision), of_ours),
                    lambda: rate(peer_train, of_peer),
                    limit=lambda: 1e9 * ours("limits", CORES, duration=0.1)["multiply_add_gflops"] / operations)
                median = " and ".join(f"{statistics.median(found):.4f}" for found in (of_ours, of_peer))
                losses.append(median + beside_f32(precision, others="PyTorch"))
        self.table.add("\nMean training losses after those epochs, ours and PyTorch's, each the median of the turns, which "
                       f"have another seed each: {'; '.join(losses)}.")
        self.table.add("\nThe limit is that of the multiply-adds of whole products. Ours leave out those with zeros behind a "
                       "ReLU, which change nothing, and can so be beyond it.")

    def trainings_beside_another(self):
        self.table.section("Training beside another process", "images/s of 784-1024-1024-10, batch 128",
                           "beside a busy loop", "alone", "share kept")
        for name, side in (("ours", train), ("PyTorch", peer_train)):
            def alone():
                return side(self.shards, "1024,1024", 128, 3, CORES)[0]

            def beside_another():
                load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    return alone()
                finally:
                    load.kill()
                    load.wait()

            self.table.row(name, beside_another, alone, compares=False)

    def files(self):
        in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM
        with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else self.raw.parent) as folder:
            self.files_in(pathlib.Path(folder))
        self.table.add(f"\nThe files of these rows, read and written, lie {'in memory' if in_memory else 'on the disk'}"
                       f"{', so that no pause of the disk is measured' if in_memory else ''}.")

    def files_in(self, folder):
        """Of the data set, and of one nine times as large unless it is to be quick, in a folder that nobody else needs."""
        letters = self.raw / "train"
        sample = folder / "sample.tar.gz"
        output("tar", "czf", sample, "-C", self.raw, letters.name)
        sizes = [(sum(1 for path in letters.rglob("*") if path.is_file()), sample, letters)]
        if not self.quick:
            larger = folder / "larger.tar.gz"
            count = write_larger(larger, letters)
            output("tar", "xzf", larger, "-C", folder)
            sizes.append((count, larger, folder / letters.name))

        def into(place, *command):
            shutil.rmtree(folder / place, ignore_errors=True)
            return seconds(*command)

        preprocess = (BIN / "preprocess", "-q", "--threads", CORES, "--output", folder / "shards")
        self.table.section("Data", f"images/s, {CORES} workers", "ours", "ImageFolder", "ratio")
        for count, _, letters in sizes:
            self.table.row(f"`preprocess --input` with all checks and its start, {count:,} files",
                           lambda: count / into("shards", *preprocess, "--input", letters),
                           lambda: float(peer("image_folder.py", letters, CORES)))
        self.table.section("Archives", "seconds", "ours", "tar", "ratio")
        for count, archive, _ in sizes:
            self.table.row(f"`preprocess --archive` with all checks, beside `tar tzf`, {count:,} files",
                           lambda: into("shards", *preprocess, "--archive", archive), lambda: seconds("tar", "tzf", archive),
                           digits=3, lower_is_better=True)
        for count, archive, _ in sizes:
            unpacked = folder / "unpacked"
            tar = ("sh", "-c", 'mkdir "$1" && tar xzf "$2" -C "$1"', "sh", unpacked, archive)
            self.table.row(f"`fetch --archive` with its digest, beside `tar xzf`, {count:,} files",
                           lambda: into("raw", BIN / "fetch", "-q", "--archive", archive, "--output", folder / "raw"),
                           lambda: into("unpacked", *tar), digits=3, lower_is_better=True)

    def inference(self):
        self.table.section("Inference", "images/s", "ours", "onnxruntime's Python API", "ratio")
        widths = json.loads((self.run / "training.json").read_text())["model"]["hidden"]
        name = "-".join(str(width) for width in [784, *widths, 10])
        # A process of either side stays at one of two rates, a seventh apart: few turns would be a matter of luck.
        turns = 3 * self.table.rounds
        self.table.row(f"`evaluate` of {name}, batches of 256, {turns} turns", lambda: evaluate(self.run, self.shards),
                       lambda: float(peer("inference.py", self.run / "model.onnx", self.shards, 256, CORES, self.duration)),
                       turns=turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the data set: raw/ and shards/")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of a finished run on it")
    parser.add_argument("--quick", action="store_true", help="fewer rows and turns: under three minutes")
    parser.add_argument("--rounds", type=int, help="turns of each row [default: 5, quick 2]")
    arguments = parser.parse_args()

    bench = Bench(arguments)
    bench.head()
    bench.products()
    bench.trainings()
    if CORES > 1 and not arguments.quick:
        bench.trainings_beside_another()
    bench.files()
    bench.inference()
    table = bench.table
    table.add(f"\n**Where we lose**: {'; '.join(table.behind) or 'in no row above'}.")
    if arguments.quick:
        print("\nbench: a quick run; bench/RESULTS.md is as it was")
    else:
        record.write_speed(table.lines)
        print(f"\nbench: {record.PATH}")
    if table.disturbed:
        print("bench: warning: other work, or other machines, disturbed the rows that say so", file=sys.stderr)


if __name__ == "__main__":
    main()
