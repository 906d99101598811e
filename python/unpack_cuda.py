#!/usr/bin/env python3
"""Put the pinned libraries of CUDA, and ONNX Runtime with its CUDA provider, into a folder, out of their Python packages.

    python3 python/unpack_cuda.py FOLDER

pip downloads the wheels that cuda.txt names (2 GB), checks their SHA-256, and installs nothing. FOLDER then holds
libonnxruntime.so with its providers, and the libraries under the names by which they ask for one another: both `train` and
`evaluate` find them there. For Linux on x86-64; needs Python 3.8 and pip 21, or later.
"""

import os
import re
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import List

import wheels

REQUIREMENTS = Path(__file__).with_name("cuda.txt")
WHEELS_OF = ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312", "--abi", "none"]
WHEELS_OF += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"]
WHEELS_OF += ["--platform", "manylinux2014_x86_64"]


def download(folder: Path) -> List[Path]:
    return wheels.download(REQUIREMENTS, WHEELS_OF, "CUDA_HOME to an installed CUDA", folder)


def library_name(member: str) -> str:
    """The name that a wheel's file has in the folder; nothing for what is no library or licence."""
    path = PurePosixPath(member)
    if re.fullmatch(r"libonnxruntime\.so\.[0-9.]+", path.name):
        return "libonnxruntime.so"
    if member.startswith("onnxruntime/capi/"):
        return path.name if re.fullmatch(r"libonnxruntime_providers_(cuda|shared)\.so", path.name) else ""
    if re.fullmatch(r"lib\w[\w-]*\.so\.[0-9.]+", path.name) and path.parent.name == "lib":
        return path.name
    if re.fullmatch(r"(LICENSE|License|ThirdPartyNotices)(\.txt)?", path.name):
        package = path.parent.name if path.parent.name != "licenses" else path.parent.parent.name
        return f"{package.split('.dist-info')[0]}-{path.name}"
    return ""


def unpack(wheel: Path, folder: Path) -> None:
    """The libraries and licences of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if name := library_name(member):
                with archive.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
                if ".so" in name:
                    os.chmod(folder / name, 0o755)


if __name__ == "__main__":
    wheels.main(__doc__, "libonnxruntime.so", download, unpack)
