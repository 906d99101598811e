"""bench/RESULTS.md: the speeds, and after them the memory. Each of the two scripts that measure writes its own part."""

import pathlib
import platform

PATH = pathlib.Path(__file__).parent / "RESULTS.md"
MEMORY = "## Memory at full size\n"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def parts():
    speed, heading, memory = (PATH.read_text() if PATH.exists() else "").partition(MEMORY)
    return speed, heading + memory


def write_speed(lines):
    PATH.write_text("\n".join(lines).rstrip() + "\n\n" + parts()[1])


def write_memory(lines):
    PATH.write_text(parts()[0].rstrip() + "\n\n" + MEMORY + "\n" + "\n".join(lines) + "\n")
