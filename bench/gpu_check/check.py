#!/usr/bin/env python3
"""Proves the CUDA engine on this machine's GPU, and times it: run it in the folder that `make gpu-check` built.

usage: check.py [--parts tests+agreement+evaluation+times] [--minutes NUMBER] ...          (all: check.py --help)

The engine's tests on the device; trainings in each precision beside the CPU engine's; a model judged by ONNX Runtime's
CUDA provider; then epochs at full size, beside PyTorch on the same device where PyTorch can be imported. What fails is
said, the rest is done all the same, and the exit code is 1. All lines are printed as they come: a run that is cut short
leaves what it had found.

CUDA's libraries are those of CUDA_HOME or CUDA_LIBRARIES, else of `libraries` in this folder, of Python's packages or of
/usr/local/cuda; only where none of them has any they are downloaded to `libraries` (2 GB).
"""
import argparse
import ast
import importlib.util
import itertools
import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FULL_SIZE = 529_114
PRECISIONS = ["f32", "tf32", "bf16"]
# How far an epoch's mean loss may be from the CPU engine's, as a share of it: products round to so few bits.
AGREEMENT = {"f32": 1e-3, "tf32": 2e-2, "bf16": 1e-1}
NETWORKS = ["256", "1024,1024"]
BATCHES = [256, 1024, 8192]
PEERS = ["eager", "compile", "graph"]
PARTS = ["tests", "agreement", "evaluation", "times"]
NEEDED = ["libnvrtc.so.13", "libcublasLt.so.13"]
PROVIDER = "libonnxruntime_providers_cuda.so"
# Seconds that the tests, a training, and an answer of PyTorch may take.
TESTS_TIME, TRAINING_TIME, ANSWER_TIME = 480, 180, 180
# Bytes of the device that are left to a training whose images are to be streamed: the driver and the libraries take some.
LEFT_FOR_STREAMING = 1_100_000_000

failures, left_out = [], []


def leave_out(text):
    left_out.append(text)
    print(f"NOT DONE: {text}", flush=True)


def fail(text):
    failures.append(text)
    print(f"FAILED: {text}", flush=True)


def ended_well(command, variables, seconds, **options):
    """What a command that ended well within so many seconds gave; nothing where it did not, which is said."""
    command = list(map(str, command))
    try:
        result = subprocess.run(command, env=variables, timeout=seconds, text=True, **options)
    except subprocess.TimeoutExpired:
        return fail(f"{' '.join(command)}: no end in {seconds} s")
    if result.returncode != 0:
        return fail(f"{' '.join(command)} ended with {result.returncode}: {result.stderr or 'see above'}")
    return result


def environment():
    """The variables that name CUDA's libraries."""
    variables = dict(os.environ)
    if variables.get("CUDA_HOME") or variables.get("CUDA_LIBRARIES"):
        return variables
    packages = [pathlib.Path(path) for path in sys.path]
    places = [HERE / "libraries", *(lib for path in packages for lib in sorted(path.glob("nvidia/*/lib"))),
              pathlib.Path("/usr/local/cuda/lib64")]
    found = next((place for place in places if all((place / name).exists() for name in NEEDED)), None)
    if found is None:
        found = HERE / "libraries"
        subprocess.run([sys.executable, HERE / "unpack_cuda.py", found], check=True)
    return {**variables, "CUDA_LIBRARIES": str(found)}


def card_of(offer, device):
    """What `train --engines` says of the device; nothing where that or a library cannot be used."""
    cells = [line.split("┆") for line in offer.splitlines() if "┆" in line]
    of_device = [row for row in cells if row[2].strip().startswith(f"device {device}: ")]
    needed = of_device + [row for row in cells if not row[2].strip().startswith("device ")]
    return of_device[0][2].strip() if of_device and not any("✗" in row[0] for row in needed) else None


def train(variables, run, shards, *flags):
    """The metrics and the timings of a training, and what it says of its images and products; nothing where it fails."""
    shutil.rmtree(run, ignore_errors=True)
    command = [HERE / "train", "--verbose", "--no-verify", "--dataset", shards, "--run", run, *flags]
    result = ended_well(command, variables, TRAINING_TIME, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not result:
        return None
    lines = lambda name: [json.loads(line) for line in (run / name).read_text().splitlines()]
    said = [line.strip() for line in result.stderr.splitlines() if "products of " in line or "the images are " in line]
    return lines("metrics.jsonl"), lines("timings.jsonl"), said


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


def same_files(one, other, of):
    for name in ["checkpoint.safetensors", "metrics.jsonl"]:
        if (one / name).read_bytes() != (other / name).read_bytes():
            fail(f"{of} have another {name}")


def agree(variables, device, work):
    """Each precision's losses beside the CPU engine's."""
    flags = ["--hidden", "256,128", "--epochs", "3", "--dropout", "0.2", "--augment", "strong", "--label-smoothing", "0.1"]
    flags += ["--ema-decay", "0.99", "--clip-norm", "1", "--weight-decay", "0.01"]
    for ensemble in [[], ["--ensemble", "2", "--test-time-shift", "1"]]:
        expected = train(variables, work / "cpu", HERE / "shards", *flags, *ensemble, "--engine", "cpu")
        for precision in PRECISIONS:
            cuda = [*flags, *ensemble, "--engine", "cuda", "--device", device, "--precision", precision]
            found = train(variables, work / precision, HERE / "shards", *cuda)
            if not found or not expected or not train(variables, work / "again", HERE / "shards", *cuda):
                continue
            name = f"{precision}{', an ensemble' if ensemble else ''}"
            same_files(work / precision, work / "again", f"two trainings in {name} with the same seed")
            if len(found[0]) != len(expected[0]):
                fail(f"{name}: {len(found[0])} epochs, but {len(expected[0])} on the CPU")
            keys = ["train_loss", "valid_loss"]
            differences = [abs(a[key] / b[key] - 1) for a, b in zip(found[0], expected[0]) for key in keys]
            print(f"{name}: losses differ from the CPU engine's by at most {max(differences):.1e} of them", flush=True)
            if not max(differences) < AGREEMENT[precision]:
                fail(f"{name}: a difference of at most {AGREEMENT[precision]:.0e} was expected")


def stream(variables, device, shards, work, peer):
    """Images that do not fit on the device give the bytes of those that do."""
    flags = ["--hidden", "256", "--batch-size", "1000", "--epochs", "1", "--engine", "cuda", "--device", device]
    if not train(variables, work / "resident", shards, *flags):
        return
    if peer.ask(mode="occupy", left=LEFT_FOR_STREAMING) is None:
        return
    found = train(variables, work / "streamed", shards, *flags)
    peer.close()
    if found:
        print("\n".join(found[2][:1]), flush=True)
        if not any("streamed" in line for line in found[2]):
            fail(f"the images were to be streamed with {LEFT_FOR_STREAMING:,} bytes left")
        same_files(work / "streamed", work / "resident", "streamed and resident images")


def evaluate(variables, device, work):
    """A model on ONNX Runtime's CUDA provider, whose logits `evaluate` compares with the trainer's own."""
    beside = pathlib.Path(variables.get("CUDA_LIBRARIES", "")) / "libonnxruntime.so"
    named = pathlib.Path(variables.get("ORT_DYLIB_PATH") or beside)
    if not (named.parent / PROVIDER).exists():
        return leave_out(f"the evaluation, as there is no `{PROVIDER}` beside `{named}` (ORT_DYLIB_PATH names another)")
    run = work / "judged"
    if not train(variables, run, HERE / "shards", "--hidden", "256,128", "--ensemble", "2", "--epochs", "2",
                 "--engine", "cpu"):
        return
    judge = [HERE / "evaluate", "--run", run, "--dataset", HERE / "shards", "--provider", "cuda", "--device", device]
    for command in [[HERE / "export", "--run", run], [*judge, "--onnxruntime", named]]:
        if not ended_well(command, variables, TRAINING_TIME):
            return
    report = json.loads((run / "report/report.json").read_text())
    print(f"evaluation: on {report['provider']}, {report['parity']}", flush=True)


def flops_an_image(hidden, inputs, classes):
    """Of the products of a step: forward, and twice that backward but for the gradient by the input."""
    sizes = [inputs, *map(int, hidden.split(",")), classes]
    layers = [2 * a * b for a, b in zip(sizes, sizes[1:])]
    return 3 * sum(layers) - layers[0]


class Peer:
    """PyTorch in a process of its own, which answers one question after the other."""

    def __init__(self, variables, device, shards):
        self.command = [sys.executable, HERE / "torch_peer.py", str(device), shards]
        self.variables, self.process = variables, None

    def ask(self, **question):
        """The answer; nothing where it fails, which is said."""
        if self.process is None:
            self.process = subprocess.Popen(self.command, env=self.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_TIME)
            line = self.process.stdout.readline() if ready else None
            answer = json.loads(line) if line else {"error": f"no answer in {ANSWER_TIME} s" if line is None else "it ended"}
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        if "error" in answer:
            fail(f"PyTorch, {question}: {answer['error']}")
            self.close()
        return answer.get("found")

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def time_epochs(variables, options, card, shards, work, peer, deadline):
    """A table, line by line."""
    peers = options.peers if peer else []
    peaks = {precision: peer.ask(mode="peak", precision=precision) if peer else None for precision in options.precisions}
    head = ["network", "batch", "precision", "epoch, ms", "images/s", "of matrix peak", *(f"times {name}" for name in peers)]
    show = lambda row: print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n{card}\nEpochs of {options.images:,} images, the median of {options.epochs - 1}; `times X` is X's time over ours\n")
    show(head)
    show(["---"] * len(head))
    products = {}
    for hidden, batch, precision in itertools.product(options.networks, options.batches, options.precisions):
        if time.monotonic() > deadline:
            fail("the minutes are over: the remaining rows are missing")
            break
        name = f"784-{hidden.replace(',', '-')}-10"
        flags = ["--engine", "cuda", "--device", options.device, "--precision", precision, "--hidden", hidden]
        ours = train(variables, work / "timed", shards, *flags, "--batch-size", batch, "--epochs", options.epochs)
        if not ours:
            continue
        products[name, batch, precision] = ours[2]
        seconds = statistics.median(line["train_seconds"] for line in ours[1][1:])
        rate, peak = options.images / seconds, peaks[precision]
        share = f"{rate * flops_an_image(hidden, 784, 10) / peak:.1%}" if peak else "-"
        row = [name, batch, precision, f"{seconds * 1e3:.1f}", f"{rate:,.0f}", share]
        for mode in peers:
            question = {"mode": mode, "precision": precision, "hidden": hidden, "batch": batch}
            other = peer.ask(**question, epochs=options.epochs) if time.monotonic() < deadline else None
            row.append(f"{other / seconds:.2f}" if other else "-")
        show(row)
    print("\nWhat products do besides, layer by layer (`DEFAULT`: nothing; what is needed is done by a kernel of ours):")
    for (name, batch, precision), said in products.items():
        said = "; ".join(line.split(" images, ")[-1] for line in said if " images, " in line)
        print(f"- {name}, batch {batch}, {precision}: {said}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    several = lambda values: {"type": lambda text: text.split("+"), "default": values, "metavar": "+".join(values)}
    parser.add_argument("--parts", **several(PARTS), help="what is done, joined by +")
    parser.add_argument("--networks", **several(NETWORKS), help="hidden layers of those that are timed")
    parser.add_argument("--batches", **several(list(map(str, BATCHES))), help="images in a step")
    parser.add_argument("--precisions", **several(PRECISIONS), help="of products")
    parser.add_argument("--peers", **several(PEERS), help="ways of PyTorch that are timed beside, or none")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--images", type=int, default=FULL_SIZE, help="that an epoch is timed with")
    parser.add_argument("--epochs", type=int, default=4, help="of a timing, of which the first does not count: at least 2")
    parser.add_argument("--minutes", type=float, default=60, help="when no further row is begun")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs: at least 2")
    for name, known in [("parts", PARTS), ("precisions", PRECISIONS), ("peers", [*PEERS, "none"])]:
        unknown = set(getattr(options, name)) - set(known)
        if unknown:
            parser.error(f"--{name}: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
    options.batches = list(map(int, options.batches))
    deadline = time.monotonic() + options.minutes * 60
    variables, work = environment(), HERE / "work"
    work.mkdir(exist_ok=True)
    offer = subprocess.run([HERE / "train", "--engines"], env=variables, stderr=subprocess.PIPE, text=True).stderr
    print(offer, flush=True)
    card = card_of(offer, options.device)
    if card is None:
        sys.exit("error: the CUDA engine cannot run on this machine")
    if "tests" in options.parts:
        ended_well([HERE / "cuda-tests", "--test-threads=1"], {**variables, "TEST_ON_GPU": "1"}, TESTS_TIME)
    if "agreement" in options.parts:
        agree(variables, options.device, work)
    if "evaluation" in options.parts:
        evaluate(variables, options.device, work)
    shards = full_size(work / "shards", options.images)
    has_torch = importlib.util.find_spec("torch") is not None
    peer = Peer(variables, options.device, shards) if has_torch and options.peers != ["none"] else None
    if "agreement" in options.parts and peer:
        stream(variables, options.device, shards, work, peer)
    if "times" in options.parts:
        time_epochs(variables, options, card, shards, work, peer, deadline)
    if peer:
        peer.close()
    else:
        leave_out("what needs PyTorch: the comparison, the matrix peak, and a training whose images are streamed")
    left_out.extend(part for part in PARTS if part not in options.parts)
    print("\n".join(["", f"{len(left_out)} not done:", *left_out] if left_out else [""]))
    if failures:
        sys.exit("\n".join(["", f"{len(failures)} failed:", *failures]))
    print("\nWhat was done passed.")


if __name__ == "__main__":
    main()
