#!/usr/bin/env python3
"""Builds the folder that proves the CUDA engine on a machine with a GPU: `make gpu-check` calls it.

usage: build.py BINARIES SHARDS FOLDER

FOLDER then holds the stages from `train` on, the engine's tests, a small data set, what sets up CUDA's libraries, and
`check.py`, which runs it all. It needs Linux on x86-64 with glibc 2.36 or later, and Python 3.8; nothing is compiled
there.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
NEWEST_GLIBC = (2, 36)
MOST_BYTES = 56 << 20


def test_binary() -> pathlib.Path:
    """The tests of the CUDA engine, compiled as the product is."""
    command = ["cargo", "test", "--release", "--locked", "--package", "train", "--test", "cuda", "--no-run"]
    result = subprocess.run(command + ["--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    found = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "cuda"]
    (executable,) = found
    return pathlib.Path(executable)


def newest_glibc(binary: pathlib.Path) -> tuple:
    """The newest version of glibc that the binary asks for."""
    versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", binary.read_bytes())
    return max((int(major), int(minor)) for major, minor in versions)


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    binaries, shards, folder = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stages = [(binaries / name, name) for name in ("train", "export", "evaluate")]
    for source, name in [*stages, (test_binary(), "cuda-tests")]:
        subprocess.run(["strip", "-o", folder / name, source], check=True)
        if newest_glibc(folder / name) > NEWEST_GLIBC:
            sys.exit(f"error: `{name}` needs glibc {newest_glibc(folder / name)}; at most {NEWEST_GLIBC} was expected\n"
                     "hint: build it on an older system, as Debian 12")
    unpacking = [ROOT / "python" / name for name in ("unpack_cuda.py", "wheels.py", "cuda.txt")]
    for source in [HERE / "check.py", HERE / "torch_peer.py", *unpacking]:
        shutil.copy2(source, folder)
    shutil.copytree(shards, folder / "shards")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        sys.exit(f"error: `{folder}` has {size >> 20} MiB; at most {MOST_BYTES >> 20} were expected")
    print(f"gpu-check: `{folder}` has {size >> 20} MiB; on a machine with a GPU: python3 check.py in it")


if __name__ == "__main__":
    main()
