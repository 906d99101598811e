"""Libraries out of Python packages: pip downloads the wheels and checks their SHA-256; nothing is installed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, List


def download(requirements: Path, wheels_of: List[str], hint: str, folder: Path) -> List[Path]:
    """The wheels that `requirements` names, whose digests are those in it; `wheels_of` are pip's flags for the platform."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    # pip's progress and warnings go to stderr: stdout is for the library's path.
    if subprocess.run(command + wheels_of, stdout=sys.stderr).returncode != 0:
        sys.exit(
            f"error: pip cannot download the packages that {requirements.name} names\n"
            f"hint: it needs network access to a package index, once; or set {hint}"
        )
    return sorted(folder.glob("*.whl"))


def main(usage: str, library: str, download_to: Callable[[Path], List[Path]], unpack: Callable[[Path, Path], None]) -> None:
    """Unpacks what is downloaded into the folder that the command line names, `library` last, and prints its path."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(usage, file=sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    destination = Path(sys.argv[1])
    destination.mkdir(parents=True, exist_ok=True)
    # On the same file system, so that each file takes its place by a rename: whole, or not there.
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=destination) as scratch:
        (wheels := Path(scratch, "wheels")).mkdir()
        (unpacked := Path(scratch, "unpacked")).mkdir()
        for wheel in download_to(wheels):
            unpack(wheel, unpacked)
            wheel.unlink()
        if not (unpacked / library).exists():
            sys.exit(f"error: no wheel holds {library}; one was expected")
        for path in sorted(unpacked.iterdir(), key=lambda path: path.name == library):
            os.replace(path, destination / path.name)
    print(destination / library)
