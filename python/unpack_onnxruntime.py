#!/usr/bin/env python3
"""Put the pinned library of ONNX Runtime into a folder, out of its Python package.

    python3 python/unpack_onnxruntime.py FOLDER

pip downloads the wheel that onnxruntime.txt names, checks its SHA-256, and installs nothing. FOLDER then holds the
library as libonnxruntime.so (libonnxruntime.dylib on macOS), and its licences. The library's path goes to stdout.

Needs Python 3.8 and pip 21, or later. Any Python will do, whether or not the package supports it: the library does not
depend on Python, so the wheel is always the one for CPython 3.12.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("onnxruntime.txt")
WHEEL_OF = ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"]
LIBRARY = "libonnxruntime.dylib" if sys.platform == "darwin" else "libonnxruntime.so"
LICENCES = ["LICENSE", "ThirdPartyNotices.txt"]


def download(folder: Path) -> Path:
    """The wheel, whose digest is one of those in the requirements."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(REQUIREMENTS), "--dest", str(folder)]
    # pip's progress and warnings go to stderr: stdout is for the library's path.
    if subprocess.run(command + WHEEL_OF, stdout=sys.stderr).returncode != 0:
        sys.exit(
            "error: pip cannot download the package that onnxruntime.txt names\n"
            "hint: it needs network access to a package index, once; or set ORT_DYLIB_PATH to a library of your own"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, folder: Path) -> None:
    """The library, under a name without version, and its licences."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        stem = LIBRARY.partition(".")[0] + "."
        libraries = [name for name in names if name.startswith(f"onnxruntime/capi/{stem}")]
        if len(libraries) != 1:
            sys.exit(f"error: `{wheel.name}` holds {libraries or 'no library'}; one library was expected")
        members = {libraries[0]: LIBRARY}
        members.update({f"onnxruntime/{name}": name for name in LICENCES if f"onnxruntime/{name}" in names})
        for member, name in members.items():
            with archive.open(member) as source, open(folder / name, "wb") as target:
                shutil.copyfileobj(source, target)
    os.chmod(folder / LIBRARY, 0o755)


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    destination = Path(sys.argv[1])
    destination.mkdir(parents=True, exist_ok=True)
    # On the same file system, so that each file takes its place by a rename: whole, or not there.
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=destination) as scratch:
        (wheels := Path(scratch, "wheel")).mkdir()
        (unpacked := Path(scratch, "unpacked")).mkdir()
        unpack(download(wheels), unpacked)
        for path in sorted(unpacked.iterdir(), key=lambda path: path.name == LIBRARY):  # The library last.
            os.replace(path, destination / path.name)
    print(destination / LIBRARY)


if __name__ == "__main__":
    main()
