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
import sys
import zipfile
from pathlib import Path
from typing import List

import wheels

REQUIREMENTS = Path(__file__).with_name("onnxruntime.txt")
WHEEL_OF = ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"]
LIBRARY = "libonnxruntime.dylib" if sys.platform == "darwin" else "libonnxruntime.so"
LICENCES = ["LICENSE", "ThirdPartyNotices.txt"]


def download(folder: Path) -> List[Path]:
    return wheels.download(REQUIREMENTS, WHEEL_OF, "ORT_DYLIB_PATH to a library of your own", folder)


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


if __name__ == "__main__":
    wheels.main(__doc__, LIBRARY, download, unpack)
