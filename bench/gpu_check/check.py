#!/usr/bin/env python3
"""Proves the CUDA engine on this machine's GPU, and times it: run it in the folder that `make gpu-check` built.

usage: check.py [--device NUMBER] [--images NUMBER] [--epochs NUMBER]

The engine's tests on the device; a training in each precision beside the CPU engine's; then epochs at full size, beside
PyTorch on the same device where PyTorch can be imported. Anything that fails ends it with exit code 1. CUDA's libraries
are set up once, in `libraries` (2 GB to download), unless CUDA_HOME names an installed CUDA.
"""
import argparse
import ast
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FULL_SIZE = 529_114
PRECISIONS = ["f32", "tf32", "bf16"]
# How far an epoch's mean loss may be from the CPU engine's, as a share of it: products round to so few bits.
AGREEMENT = {"f32": 1e-3, "tf32": 2e-2, "bf16": 1e-1}
NETWORKS = ["256", "1024,1024"]
BATCHES = [256, 1024, 8192]


def environment():
    """Where CUDA's libraries are."""
    variables = dict(os.environ)
    if not variables.get("CUDA_HOME"):
        libraries = pathlib.Path(variables.get("CUDA_LIBRARIES") or HERE / "libraries")
        if not libraries.exists():
            subprocess.run([sys.executable, HERE / "unpack_cuda.py", libraries], check=True)
        variables["CUDA_LIBRARIES"] = str(libraries)
    return variables


def train(variables, run, shards, *flags):
    shutil.rmtree(run, ignore_errors=True)
    command = [HERE / "train", "--quiet", "--no-verify", "--dataset", shards, "--run", run, *flags]
    subprocess.run(list(map(str, command)), check=True, env=variables)
    lines = lambda name: [json.loads(line) for line in (run / name).read_text().splitlines()]
    return lines("metrics.jsonl"), lines("timings.jsonl"), json.loads((run / "training.json").read_text())


def npy(path):
    """The header, the rows and the bytes of a row of an .npy file, with its contents."""
    content = path.read_bytes()
    length = 10 + int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10:length].decode())
    rows, *shape = header["shape"]
    return header, rows, content[length:]


def write_npy(path, header, rows, content):
    shape = (rows, *header["shape"][1:])
    text = f"{{'descr': {header['descr']!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text = text.encode().ljust(-(-(len(text) + 11) // 64) * 64 + 64 - 11) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)


def full_size(folder, images):
    """A data set of as many training images: the small one's, again and again."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "shards", folder)
    path = folder / "dataset.json"
    dataset = json.loads(path.read_text())
    split = dataset["splits"]["train"]
    (shard,) = split["shards"]
    for part in ["images", "labels"]:
        header, rows, content = npy(folder / shard[part]["path"])
        times = -(-images // rows)
        write_npy(folder / shard[part]["path"], header, images, (content * times)[: images * (len(content) // rows)])
    names = (folder / shard["names"]["path"]).read_text().splitlines()
    (folder / shard["names"]["path"]).write_text("".join(f"{names[row % len(names)]}\n" for row in range(images)))
    labels = npy(folder / shard["labels"]["path"])[2]
    split["images"] = shard["rows"] = images
    split["images_by_class"] = [labels.count(label) for label in range(len(dataset["classes"]))]
    path.write_text(json.dumps(dataset))
    return folder


def agree(variables, device, work):
    """Each precision's losses beside the CPU engine's."""
    flags = ["--hidden", "256,128", "--epochs", "3", "--dropout", "0.2", "--augment", "strong", "--label-smoothing", "0.1"]
    flags += ["--ema-decay", "0.99", "--clip-norm", "1", "--weight-decay", "0.01"]
    expected, _, _ = train(variables, work / "cpu", HERE / "shards", *flags, "--engine", "cpu")
    for precision in PRECISIONS:
        cuda = ["--engine", "cuda", "--device", device, "--precision", precision]
        found, _, record = train(variables, work / precision, HERE / "shards", *flags, *cuda)
        train(variables, work / "again", HERE / "shards", *flags, *cuda)
        for name in ["checkpoint.safetensors", "metrics.jsonl"]:
            if (work / precision / name).read_bytes() != (work / "again" / name).read_bytes():
                sys.exit(f"error: two trainings in {precision} with the same seed have another {name}")
        differences = [abs(a[k] / b[k] - 1) for a, b in zip(found, expected) for k in ["train_loss", "valid_loss"]]
        print(f"{precision}: losses differ from the CPU engine's by at most {max(differences):.1e} of them; the same bytes twice")
        if not max(differences) < AGREEMENT[precision]:
            sys.exit(f"error: at most {AGREEMENT[precision]:.0e} was expected")
    return record["provenance"]["arguments"]["device"]


def flops_an_image(hidden, inputs, classes):
    """Of the products of a step: forward, and twice that backward but for the gradient by the input."""
    sizes = [inputs, *map(int, hidden.split(",")), classes]
    layers = [2 * a * b for a, b in zip(sizes, sizes[1:])]
    return 3 * sum(layers) - layers[0]


def peer(variables, *arguments):
    """What PyTorch gives on the same device; nothing where it fails, which is said."""
    result = subprocess.run([sys.executable, HERE / "torch_peer.py", *map(str, arguments)], env=variables,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        print(f"PyTorch, {arguments}: {(result.stderr.strip().splitlines() or ['no reason given'])[-1]}", file=sys.stderr)
        return None
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--images", type=int, default=FULL_SIZE)
    parser.add_argument("--epochs", type=int, default=4, help="of a timing, of which the first does not count")
    options = parser.parse_args()
    variables, work = environment(), HERE / "work"
    work.mkdir(exist_ok=True)
    subprocess.run([HERE / "train", "--engines"], check=True, env=variables)
    subprocess.run([HERE / "cuda-tests", "--test-threads=1"], check=True, env={**variables, "TEST_ON_GPU": "1"})
    card = agree(variables, options.device, work)

    shards = full_size(work / "shards", options.images)
    has_torch = importlib.util.find_spec("torch") is not None
    peaks = {precision: peer(variables, "peak", options.device, precision) if has_torch else None for precision in PRECISIONS}
    peers = ["eager", "compile", "graph"] if has_torch else []
    head = ["network", "batch", "precision", "epoch, ms", "images/s", "of matrix peak", *(f"times {p}" for p in peers)]
    rows = []
    for hidden in NETWORKS:
        for batch in BATCHES:
            for precision in PRECISIONS:
                _, timings, _ = train(variables, work / "timed", shards, "--engine", "cuda", "--device", options.device,
                                      "--precision", precision, "--hidden", hidden, "--batch-size", batch,
                                      "--epochs", options.epochs)
                seconds = statistics.median(line["train_seconds"] for line in timings[1:])
                rate, peak = options.images / seconds, peaks[precision]
                share = f"{rate * flops_an_image(hidden, 784, 10) / peak:.1%}" if peak else "-"
                row = [f"784-{hidden.replace(',', '-')}-10", batch, precision, f"{seconds * 1e3:.1f}", f"{rate:,.0f}", share]
                for name in peers:
                    other = peer(variables, name, options.device, precision, shards, hidden, batch, options.epochs)
                    row.append(f"{other / seconds:.2f}" if other else "failed")
                rows.append(row)
                print(" ".join(map(str, row)), file=sys.stderr)
    print(f"\n{card}: epochs of {options.images:,} images, the median of {options.epochs - 1}; `times X` is X's time over ours\n")
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(map(str, row)) + " |")
    if not has_torch:
        print("\nPyTorch is not there: no comparison, and no measured matrix peak.")


if __name__ == "__main__":
    main()
