"""Walks the chain backwards, from report.json to the archive, and says where it is broken.

Every artifact's JSON names the SHA-256 of its inputs and of the files that it vouches for. Each of these digests is
computed anew here, by Python's hashlib alone; what report.json counts is counted again, and the list of images that
dataset.json has the digest of is made again from the archives, where they are here. Nothing is repaired. The exit code is 1 where a link is broken. What lies
outside of the chain's folders, or need not be kept (raw/, the archives), is said where it is not here, and breaks nothing.

    python3 -X utf8 python/verify.py --data data/sample --run runs/sample [--archive letters.tar.gz ...]
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import sys
import tarfile

# What `evaluate` calls the files that it was asked questions with, before their names.
QUESTIONS = ("prior ", "unlabelled ", "compared ")
PROJECT = pathlib.Path(__file__).resolve().parent.parent


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def digest_of_tensors(path, key):
    """What a file of tensors records as the SHA-256 of all that it says, and what that is; see artifacts/src/tensors.rs."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    description = header.pop("__metadata__")[key]
    recorded = json.loads(description)["sha256"]
    field = f'"sha256":"{recorded}"'
    written = description.replace(f",{field}", "").replace(f"{field},", "")
    digest = hashlib.sha256(written.encode())
    for name in sorted(header, key=str.encode):
        tensor = header[name]
        first, end = (start + offset for offset in tensor["data_offsets"])
        digest.update(f"\n{tensor['dtype']} {tensor['shape']} {name}\n".encode())
        digest.update(data[first:end])
    return recorded, digest.hexdigest()


class Walk:
    """What was found at each link so far."""

    def __init__(self):
        self.found = collections.Counter()

    def say(self, state, link):
        print(f"{state:<8} {link}")
        self.found[state] += 1

    def compare(self, what, path, recorded, by):
        """The file's digest against the one that `by` recorded of it."""
        if recorded is None:
            self.say("BROKEN", f"{by} does not name {what}")
        elif not path.is_file():
            self.say("BROKEN", f"{path} is missing; {by} names it")
        elif (found := sha256(path)) != recorded:
            self.say("BROKEN", f"{path} has SHA-256 {found}, but {by} recorded {recorded}")
        else:
            self.say("ok", f"{path} is what {by} names")

    def read(self, path):
        """A JSON artifact; an empty one where there is none to be read."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self.say("BROKEN", f"{path} cannot be read: {error}")
            return {}
        if not isinstance(document, dict):
            self.say("BROKEN", f"{path} is no artifact")
            return {}
        return document


def inputs_of(document):
    return document.get("provenance", {}).get("inputs", {})


def verify_report(walk, run, shards):
    path = run / "report" / "report.json"
    report = walk.read(path)
    for name, recorded in report.get("files", {}).items():
        walk.compare(name, path.parent / name, recorded, path)
    places = {
        "model.onnx": run / "model.onnx", "training.json": run / "training.json",
        "reference-logits.npy": run / "reference-logits.npy", "dataset.json": shards / "dataset.json",
    }
    logits = "out-of-sample-logits.npy"
    inputs = inputs_of(report)
    if logits in inputs:
        places[logits] = run / logits
        record = run / "cross-validation.json"
        folds = walk.read(record)
        walk.compare(logits, run / logits, folds.get("logits"), record)
        walk.compare("dataset.json", shards / "dataset.json", inputs_of(folds).get("dataset.json"), record)
    for name in sorted({"model.onnx", "training.json", "dataset.json"} | inputs.keys()):
        if name in places:
            walk.compare(name, places[name], inputs.get(name), path)
        elif name.startswith(QUESTIONS):
            walk.say("not here", f"{name}, of which {path} recorded {inputs[name]}: it is none of the chain's files")
        else:
            walk.say("BROKEN", f"{path} names an input `{name}` that is no artifact")


def numbers(path):
    """The values of a .npy file of bytes with one axis."""
    data = path.read_bytes()
    return data[10 + int.from_bytes(data[8:10], "little"):]


def labels_of(shards, split):
    return b"".join(numbers(shards / shard["labels"]["path"]) for shard in split["shards"])


def verify_counts(walk, run, shards):
    """What report.json counts, from the predictions beside it and the labels."""
    path = run / "report" / "report.json"
    report, dataset = walk.read(path), walk.read(shards / "dataset.json")
    labels = labels_of(shards, dataset["splits"][report["split"]])
    counts = collections.Counter(zip(labels, numbers(path.parent / "predictions.npy"), strict=True))
    classes = range(len(dataset["classes"]))
    matrix = [[counts[truth, predicted] for predicted in classes] for truth in classes]
    right = sum(matrix[label][label] for label in classes)
    accuracy = report["overall"]["without_duplicates"]["accuracy"]
    expected = {"count": right, "total": len(labels), "value": right / len(labels)}
    if report["by_class"]["confusion_matrix"] == matrix and expected.items() <= accuracy.items():
        walk.say("ok", f"{path} counts what the labels and predictions.npy give")
    else:
        walk.say("BROKEN", f"{path} does not count what the labels and predictions.npy give: {right} of {len(labels)} right")


def verify_run(walk, run, shards):
    path = run / "export.json"
    export = walk.read(path)
    walk.compare("model.onnx", run / "model.onnx", export.get("model"), path)
    checkpoint = run / "checkpoint.safetensors"
    walk.compare("the checkpoint", checkpoint, inputs_of(export).get("checkpoint.safetensors"), path)

    path = run / "training.json"
    training = walk.read(path)
    for field, name in [("checkpoint", "checkpoint.safetensors"), ("metrics", "metrics.jsonl"),
                        ("reference_logits", "reference-logits.npy")]:
        walk.compare(name, run / name, training.get(field), path)
    walk.compare("dataset.json", shards / "dataset.json", inputs_of(training).get("dataset.json"), path)
    verify_state(walk, run / "training-state.safetensors")


def verify_state(walk, path):
    """What a training resumes from, of which no other file has the digest: it changes with every epoch."""
    if not path.exists():
        walk.say("not here", f"{path}: it was removed since, and the training cannot go on")
        return
    try:
        recorded, found = digest_of_tensors(path, "training_state")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        walk.say("BROKEN", f"{path} cannot be read: {error!r}")
    else:
        if found == recorded:
            walk.say("ok", f"{path} is what it was written as")
        else:
            walk.say("BROKEN", f"{path} says what has SHA-256 {found}, but was written with {recorded}")


def verify_dataset(walk, shards):
    path = shards / "dataset.json"
    dataset = walk.read(path)
    for name, split in dataset.get("splits", {}).items():
        for shard in split["shards"]:
            for kind in ["images", "labels", "names"]:
                walk.compare(kind, shards / shard[kind]["path"], shard[kind]["sha256"], path)
        counts = collections.Counter(labels_of(shards, split))
        if [counts[label] for label in range(len(dataset["classes"]))] != split["images_by_class"]:
            walk.say("BROKEN", f"{path} does not count the labels of the {name} split")
    walk.compare("removed.jsonl", shards / "removed.jsonl", dataset.get("removed_list"), path)


def is_hidden(name):
    """As archive/src/entry.rs has it."""
    return name.startswith(".") or name == "__MACOSX"


def digest_of_files(raw, parts):
    """SHA-256 of the list that sha256sum would print of the class folders' files, as `preprocess` records it."""
    listed = hashlib.sha256()
    for part in parts:
        folder = raw / part
        classes = [entry for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
        for class_folder in sorted(classes, key=lambda entry: os.fsencode(entry.name)):
            files = [entry for entry in class_folder.iterdir() if entry.is_file() and not is_hidden(entry.name)]
            for file in sorted(files, key=lambda entry: os.fsencode(entry.name)):
                listed.update(f"{sha256(file)}  {part}/".encode() + os.fsencode(f"{class_folder.name}/{file.name}\n"))
    return listed.hexdigest()


def verify_raw(walk, raw, recorded, dataset):
    """The folder that `fetch` wrote, which a data set has none of that was made straight from archives."""
    path = raw / "source.json"
    if not raw.exists():
        walk.say("not here", f"{raw}: {dataset} was made without it, or it was removed since")
        return
    walk.compare("source.json", path, recorded.get("source.json"), dataset)
    source = walk.read(path)
    parts = source.get("parts", [])
    try:
        found = digest_of_files(raw, [part["directory"] for part in parts])
    except OSError as error:
        walk.say("BROKEN", f"the images under {raw} cannot be read: {error}")
    else:
        if found == recorded.get("files"):
            walk.say("ok", f"the images under {raw} are those that {dataset} names")
        else:
            walk.say("BROKEN", f"the images under {raw} have SHA-256 {found} as a list, but {dataset} recorded "
                               f"{recorded.get('files')}")
    for name in (part["archive"] for part in parts):
        if (digest := inputs_of(source).get(name)) != recorded.get(name):
            walk.say("BROKEN", f"{path} names {digest} for {name}, but {dataset} recorded {recorded.get(name)}")


def listed_in(archive, part):
    """Its files as (class, file, line), the line being what sha256sum would print of each in `part`."""
    found = []
    with tarfile.open(archive) as members:
        for member in members:
            places = [place for place in member.name.split("/") if place not in ("", ".")]
            if member.isfile() and not any(map(is_hidden, places)):
                digest = hashlib.sha256()
                with members.extractfile(member) as file:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
                found.append((places, digest.hexdigest()))
    # A single class is no folder around the classes: files lie in it.
    while len({places[0] for places, _ in found}) == 1 and any(len(places) > 2 for places, _ in found):
        found = [(places[1:], digest) for places, digest in found if len(places) > 1]
    names = [(os.fsencode("/".join(places)), places, digest) for places, digest in found if len(places) == 2]
    return [(os.fsencode(places[0]), os.fsencode(places[1]), f"{digest}  {part}/".encode() + name + b"\n")
            for name, places, digest in names]


def verify_list(walk, parts, recorded, dataset):
    """The digest of all images' list against the archives themselves: `parts` are pairs of archive and folder in raw/."""
    listed = hashlib.sha256()
    for archive, part in parts:
        for _, _, line in sorted(listed_in(archive, part)):
            listed.update(line)
    archives = " and ".join(str(archive) for archive, _ in parts)
    if listed.hexdigest() == recorded["files"]:
        walk.say("ok", f"the images that {dataset} names are those in {archives}")
    else:
        walk.say("BROKEN", f"the images in {archives} have SHA-256 {listed.hexdigest()} as a list, but {dataset} recorded "
                           f"{recorded['files']}")


def verify_archives(walk, data, recorded, dataset, archives):
    folders = {part["archive"]: part["directory"] for part in walk.read(data / "raw" / "source.json")["parts"]} \
        if (data / "raw" / "source.json").exists() else {}
    names = sorted(recorded.keys() - {"source.json", "files"})
    here = {}
    for name in names:
        places = [place for place in archives if place.name == name]
        places += [data / "archives" / name, PROJECT / "fetch" / "sample" / name]
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            walk.say("not here", f"{name}, of which {dataset} recorded {recorded[name]}: it was not kept, and none was named")
        else:
            walk.compare(name, there, recorded[name], dataset)
            here[name] = there
    # Of a data set straight from two archives, nothing here says which one it is tested on.
    folders = folders or ({names[0]: "train"} if len(names) == 1 else {})
    if "files" in recorded and folders.keys() == set(names) == here.keys():
        parts = [(here[name], folder) for name, folder in sorted(folders.items(), key=lambda item: item[1] != "train")]
        verify_list(walk, parts, recorded, dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the data set's folder, with raw/ and shards/")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="the run's folder")
    parser.add_argument("--archive", type=pathlib.Path, action="append", default=[], help="an archive it was made of")
    options = parser.parse_args()
    walk = Walk()
    shards, raw = options.data / "shards", options.data / "raw"
    dataset = shards / "dataset.json"
    recorded = inputs_of(walk.read(dataset)) if dataset.exists() else {}
    for what, step in [
        (options.run / "report", lambda: verify_report(walk, options.run, shards)),
        (options.run / "report", lambda: verify_counts(walk, options.run, shards)),
        (options.run, lambda: verify_run(walk, options.run, shards)),
        (shards, lambda: verify_dataset(walk, shards)),
        (raw, lambda: verify_raw(walk, raw, recorded, dataset)),
        ("the archives", lambda: verify_archives(walk, options.data, recorded, dataset, options.archive)),
    ]:
        try:
            step()
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, OSError, tarfile.TarError) as error:
            walk.say("BROKEN", f"{what} cannot be followed further: {error!r}")
    if broken := walk.found["BROKEN"]:
        print(f"verify: the chain is broken at {broken} links")
        return 1
    absent = walk.found["not here"]
    print("verify: the chain is whole" + (f"; not here: {absent}" if absent else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
