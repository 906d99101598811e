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
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

REQUIREMENTS = Path(__file__).with_name("cuda.txt")
WHEELS_OF = ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312", "--abi", "none"]
WHEELS_OF += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"]
WHEELS_OF += ["--platform", "manylinux2014_x86_64"]


def download(folder: Path) -> None:
    """The wheels, whose digests are those in the requirements."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(REQUIREMENTS), "--dest", str(folder)]
    if subprocess.run(command + WHEELS_OF, stdout=sys.stderr).returncode != 0:
        sys.exit(
            "error: pip cannot download the packages that cuda.txt names\n"
            "hint: it needs network access to a package index, once; or set CUDA_HOME to an installed CUDA"
        )


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


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    destination = Path(sys.argv[1])
    destination.mkdir(parents=True, exist_ok=True)
    # On the same file system, so that each file takes its place by a rename: whole, or not there.
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=destination) as scratch:
        (wheels := Path(scratch, "wheels")).mkdir()
        (unpacked := Path(scratch, "unpacked")).mkdir()
        download(wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, unpacked)
            wheel.unlink()
        if not (unpacked / "libonnxruntime.so").exists():
            sys.exit("error: no wheel holds libonnxruntime.so; one was expected")
        for path in sorted(unpacked.iterdir(), key=lambda path: path.name == "libonnxruntime.so"):  # The library last.
            os.replace(path, destination / path.name)
    print(destination / "libonnxruntime.so")


if __name__ == "__main__":
    main()
