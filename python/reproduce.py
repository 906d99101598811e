"""Runs the chain twice, as differently as it may be run, and compares every byte that comes of it.

The second run has other threads, other files' order on disk, another locale, time zone and umask. Both are by `make` in
fresh folders. `--lock FILE` compares with the digests that `--write-lock FILE` wrote: where the processor's features and
the libraries are the same, byte by byte; elsewhere what no processor decides, and the accuracy within a bound. The CPU
computes, unless ENGINE or PROVIDER say otherwise.

    python3 python/reproduce.py [--lock reproduce.lock] [VARIABLE=VALUE ...]
    python3 python/reproduce.py --write-lock reproduce.lock [VARIABLE=VALUE ...]
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parent.parent
# What the clock says.
OTHERS = ("timings.", "timings-")
# Features of processors by which a mathematical library or ONNX Runtime chooses its code.
FEATURES = ["avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx_vnni",
            "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve"]
# On another processor sums may be rounded otherwise: so far may the accuracies be apart.
ACCURACY_BOUND = 0.01


def with_defaults(variables):
    """The variables of make, with the CPU as what computes where they and the environment leave it open."""
    given = {variable.partition("=")[0] for variable in variables}
    left_open = [name for name in ("ENGINE", "PROVIDER") if name not in given and not os.environ.get(name)]
    return [*(f"{name}=cpu" for name in left_open), *variables]


def run_chain(folder, variables, environment, umask, reorder):
    """The chain in a fresh folder; its data set's and its run's folder."""
    place = folder.relative_to(PROJECT) if folder.is_relative_to(PROJECT) else folder
    variables = [*variables, f"DATA={place / 'data'}", f"RUNS={place / 'runs'}"]

    def make(target):
        done = subprocess.run(["make", target, *variables], cwd=PROJECT, env=environment, umask=umask, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\nreproduce: `make {target}` failed in {folder}")

    make("fetch")
    [data] = (folder / "data").iterdir()
    if reorder:
        for path in sorted((data / "raw").glob("*/*")):
            if path.is_dir():
                reverse_order(path)
    make("all")
    [run] = (folder / "runs").iterdir()
    return data, run


def turkish(folder):
    """The variables of a locale with another comma and other letters, which is compiled in `folder`."""
    name = "tr_TR.UTF-8"
    try:
        subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", folder / name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"reproduce: the locale {name} cannot be made here (Debian's package `locales`): its name alone is set")
        return {"LC_ALL": name, "LANG": name}
    return {"LC_ALL": name, "LANG": name, "LOCPATH": str(folder)}


def reverse_order(class_folder):
    """The files of a folder, put into it anew in another order."""
    other = class_folder.with_name(f".{class_folder.name}.other")
    other.mkdir()
    for path in sorted(class_folder.iterdir(), reverse=True):
        path.rename(other / path.name)
    class_folder.rmdir()
    other.rename(class_folder)


def digests(data, run):
    """SHA-256 of every artifact, by name; of the unpacked images as one list."""
    found = {}
    images = hashlib.sha256()
    for root, folder in [("data", data), ("run", run)]:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not path.is_file() or hidden or path.name.startswith(OTHERS):
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            name = f"{root}/{path.relative_to(folder).as_posix()}"
            if path.suffix == ".png" and name.startswith("data/raw/"):
                images.update(f"{digest}  {name}\n".encode())
            else:
                found[name] = digest
    found["data/raw/*/*/*.png"] = images.hexdigest()
    return dict(sorted(found.items()))


def machine(run):
    """What may decide the last bits of a sum, beside the program."""
    features = set()
    if platform.system() == "Linux":
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                features = set(line.split(":", 1)[1].split())
                break
    report = json.loads((run / "report" / "report.json").read_text())
    return {
        "architecture": platform.machine(),
        "features": [feature for feature in FEATURES if feature in features],
        "libc": " ".join(platform.libc_ver()),
        "onnxruntime": report["provenance"]["arguments"]["onnxruntime"],
    }


def read_arguments(data, run):
    """What the artifacts were asked for."""
    paths = [data / "shards/dataset.json", run / "training.json", run / "report/report.json"]
    arguments = {}
    for path in paths:
        provenance = json.loads(path.read_text())["provenance"]
        arguments[path.name] = {"seed": provenance.get("seed"), **provenance["arguments"]}
    arguments["report.json"].pop("onnxruntime")
    return arguments


def account(data, run):
    report = json.loads((run / "report" / "report.json").read_text())
    rustc = subprocess.run(["rustc", "--version"], cwd=PROJECT, text=True, capture_output=True, check=True).stdout.strip()
    return {
        "schema_version": 1,
        "rustc": rustc,
        "machine": machine(run),
        "arguments": read_arguments(data, run),
        "accuracy": report["overall"]["without_duplicates"]["accuracy"]["value"],
        "artifacts": digests(data, run),
    }


def compare(title, one, other, names):
    """Prints the table of two runs' digests; the number of those that differ."""
    differences = 0
    width = max(len(name) for name in names)
    print(title)
    for name in names:
        first, second = one.get(name, "missing"), other.get(name, "missing")
        same = first == second
        differences += not same
        print(f"  {name:<{width}}  {first[:16]}  {second[:16]}  {'same' if same else 'DIFFERS'}")
    return differences


def differing_arguments(lock, here):
    """A line for each argument of an artifact that the lock and this run do not share."""
    def values(arguments):
        return {(file, name): json.dumps(value) for file, of_file in arguments.items() for name, value in of_file.items()}

    there, here = values(lock), values(here)
    return [f"{file}, {name}: {there.get((file, name), 'absent')} in the lock, {here.get((file, name), 'absent')} here"
            for file, name in sorted(there.keys() | here.keys()) if there.get((file, name)) != here.get((file, name))]


def compare_with_lock(found, lock, path):
    """Whether what came of the chain is what the lock promises."""
    if found["arguments"] != lock["arguments"]:
        print(f"reproduce: `{path}` is of other arguments, so there is nothing to compare with: `make lock` writes one")
        for difference in differing_arguments(lock["arguments"], found["arguments"]):
            print(f"  {difference}")
        return False
    one, other = lock["artifacts"], found["artifacts"]
    names = sorted(one.keys() | other.keys())
    if found["machine"] == lock["machine"]:
        return compare(f"the lock, and now (same processor features and libraries; {found['rustc']}):", one, other, names) == 0
    for key in found["machine"]:
        if found["machine"][key] != lock["machine"][key]:
            print(f"reproduce: {key}: {lock['machine'][key]} in the lock, {found['machine'][key]} here")
    whole_numbers = [name for name in names if name.startswith("data/")]
    differences = compare("the lock, and now: what is computed in whole numbers alone:", one, other, whole_numbers)
    apart = abs(found["accuracy"] - lock["accuracy"])
    print(f"reproduce: accuracy {lock['accuracy']:.4f} in the lock, {found['accuracy']:.4f} here; at most {ACCURACY_BOUND} apart")
    return differences == 0 and apart <= ACCURACY_BOUND


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", type=pathlib.Path, help="compare with this file, where there is one")
    parser.add_argument("--write-lock", type=pathlib.Path, help="run once, and write this file")
    parser.add_argument("variables", nargs="*", metavar="VARIABLE=VALUE", help="of make")
    options = parser.parse_args()
    variables = with_defaults(options.variables)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    # Make refuses other names of folders.
    is_plain = re.fullmatch(r"[\w/.,+~=-]+", tempfile.gettempdir())
    place = None if is_plain else PROJECT / ".cache"
    if place:
        place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=place) as folder:
        folder = pathlib.Path(folder)
        first = run_chain(folder / "first", variables, inherited, 0o022, reorder=False)
        if options.write_lock:
            options.write_lock.write_text(json.dumps(account(*first), indent=2) + "\n")
            print(f"lock: `{options.write_lock}`")
            return 0
        other = {**inherited, **turkish(folder), "TZ": "Asia/Kathmandu"}
        threads = f"THREADS={(os.cpu_count() or 1) + 1}"
        second = run_chain(folder / "second", [*variables, threads], other, 0o077, reorder=True)
        one, two = digests(*first), digests(*second)
        title = "two runs (the second with other threads, files' order, locale, time zone and umask):"
        differences = compare(title, one, two, sorted(one.keys() | two.keys()))
        found = account(*first)
    as_promised = True
    if options.lock and options.lock.exists():
        as_promised = compare_with_lock(found, json.loads(options.lock.read_text()), options.lock)
    elif options.lock:
        print(f"reproduce: there is no `{options.lock}` to compare with: `make lock` writes one")
    if differences or not as_promised:
        print(f"reproduce: {differences} artifacts differ between the runs" if differences
              else "reproduce: not what the lock promises")
        return 1
    print("reproduce: the same bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
