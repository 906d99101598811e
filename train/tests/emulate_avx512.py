#!/usr/bin/env python3
"""Runs the CPU engine's tests on an emulated processor with AVX-512: the Bochs emulator boots Linux with nothing but them.

usage: emulate_avx512.py FOLDER         (on Debian 12, by any user; `make emulate` calls it)

Debian's packages are downloaded and unpacked in FOLDER; nothing is installed. Exits with 1 unless every test passed and the
guest had AVX-512. Takes about ten minutes on an idle machine.
"""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

PACKAGES = ["bochs", "bochsbios", "vgabios", "libltdl7", "libsamplerate0", "busybox-static", "isolinux", "syslinux-common",
            "xorriso", "libburn4", "libisofs6", "libisoburn1", "libjte2", "linux-image-cloud-amd64"]
# The tests that compare the kernels of all processors: those inside the engine, and whole trainings.
TESTS = {"train": ["cpu::"], "engine": []}
# Bochs 2.7 lays out the protection keys' and the compacted state otherwise than Linux expects; without them it takes AVX-512.
KERNEL_ARGUMENTS = "console=ttyS0 rdinit=/init mitigations=off clearcpuid=pku,xsaves,xsavec quiet"
# Bochs 2.7 refuses the scatter instruction where its places are in one of the upper sixteen registers.
COMPILER_FLAGS = "-C target-feature=+prefer-no-scatter,+prefer-no-gather"
PASSED, LONGEST_SECONDS = "all tests passed", 3600


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def unpacked(folder):
    """The packages' files, under one root."""
    root = folder / "root"
    if not (folder / ".unpacked").exists():
        shutil.rmtree(folder, ignore_errors=True)
        root.mkdir(parents=True)
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64", capture_output=True, text=True).stdout
        kernel = re.search(r"Depends: (linux-image-\S+)", depends)
        run("apt-get", "download", *PACKAGES[:-1], kernel[1], cwd=folder)
        for package in folder.glob("*.deb"):
            run("dpkg", "-x", package, root)
        (folder / ".unpacked").touch()
    return root


def built_tests(folder):
    """The test programs by their names."""
    environment = os.environ | {"RUSTFLAGS": COMPILER_FLAGS, "CARGO_TARGET_DIR": str(folder / "target")}
    made = run("cargo", "test", "--package", "train", "--release", "--locked", "--no-run", "--message-format", "json",
               stdout=subprocess.PIPE, text=True, env=environment).stdout
    messages = [json.loads(line) for line in made.splitlines()]
    found = {message["target"]["name"]: pathlib.Path(message["executable"]) for message in messages
             if message.get("executable") and message["target"]["kind"] != ["bin"]}
    return {name: found[name] for name in TESTS}


def libraries(program):
    listed = run("ldd", program, capture_output=True, text=True).stdout
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]


def archive(files):
    """An initial RAM disk: a gzipped cpio archive (the "newc" form) of {name: (mode, contents, device)}."""
    made = bytearray()
    for number, (name, (mode, contents, (major, minor))) in enumerate([*files.items(), ("TRAILER!!!", (0, b"", (0, 0)))], 1):
        fields = [number, mode, 0, 0, 1, 0, len(contents), 0, 0, major, minor, len(name) + 1, 0]
        for part in ("070701" + "".join(f"{field:08x}" for field in fields)).encode() + name.encode() + b"\0", contents:
            made += part
            made += bytes(-len(made) % 4)
    return gzip.compress(bytes(made), 1)


def ram_disk(root, tests):
    nowhere = (0, 0)
    commands = "\n".join(f"/tests/{name} --test-threads 1 {' '.join(filters)} || failed=1" for name, filters in TESTS.items())
    init = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox grep -q avx512f /proc/cpuinfo || {{ echo "the guest has no AVX-512"; failed=1; }}
cd /tests
{commands}
if [ -n "$failed" ]; then /bin/busybox dmesg | /bin/busybox tail -n 3; else echo "{PASSED}"; fi
/bin/busybox sleep 5
/bin/busybox poweroff -f
"""
    files = {"dev/console": (0o20600, b"", (5, 1)), "init": (0o100755, init.encode(), nowhere),
             "bin/busybox": (0o100755, (root / "bin/busybox").read_bytes(), nowhere)}
    for name, program in tests.items():
        files[f"tests/{name}"] = (0o100755, program.read_bytes(), nowhere)
        for library in libraries(program):
            files[str(library).lstrip("/")] = (0o100755, library.read_bytes(), nowhere)
    for folder in {"proc", "tmp", *(str(parent) for name in files for parent in pathlib.PurePath(name).parents if parent.name)}:
        files[folder] = (0o40755, b"", nowhere)
    return archive(dict(sorted(files.items())))


def bootable(root, folder, tests):
    """A CD image that boots Linux with the RAM disk."""
    disc = folder / "disc"
    (disc / "isolinux").mkdir(parents=True, exist_ok=True)
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), disc / "vmlinuz")
    for file in ("ISOLINUX/isolinux.bin", "syslinux/modules/bios/ldlinux.c32"):
        shutil.copy(root / "usr/lib" / file, disc / "isolinux")
    (disc / "isolinux/isolinux.cfg").write_text(
        f"DEFAULT tests\nLABEL tests\n KERNEL /vmlinuz\n APPEND initrd=/initrd.gz {KERNEL_ARGUMENTS}\n")
    (disc / "initrd.gz").write_bytes(ram_disk(root, tests))
    image = folder / "tests.iso"
    image.unlink(missing_ok=True)
    run(root / "usr/bin/xorriso", "-as", "mkisofs", "-quiet", "-o", image, "-b", "isolinux/isolinux.bin", "-c",
        "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", disc)
    return image


def emulate(root, folder, image):
    """What the guest wrote to its serial line."""
    serial = folder / "serial.txt"
    serial.unlink(missing_ok=True)
    (folder / "continue").write_text("c\n")
    (folder / "bochsrc").write_text(f"""\
display_library: rfb, options="timeout=0"
romimage: file={root}/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file={root}/usr/share/vgabios/vgabios.bin
cpu: model=corei7_skylake_x, ips=200000000
memory: guest=512, host=512
ata0-master: type=cdrom, path={image}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={serial}
log: {folder}/bochs.log
panic: action=fatal
clock: sync=none
""")
    with (folder / "bochs.out").open("w") as output:
        bochs = subprocess.Popen([root / "usr/bin/bochs-bin", "-q", "-f", "bochsrc", "-rc", "continue"], cwd=folder,
                                 stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    start, shown = time.monotonic(), 0
    try:
        while True:
            ended = bochs.poll() is not None or time.monotonic() - start > LONGEST_SECONDS
            text = serial.read_bytes().decode(errors="replace") if serial.exists() else ""
            print(text[shown:], end="", flush=True)
            shown = len(text)
            if ended or "Power down" in text:
                return text
            time.sleep(1)
    finally:
        bochs.kill()
        bochs.wait()


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    root, tests = unpacked(folder), built_tests(folder)
    places = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
    os.environ["LD_LIBRARY_PATH"] = ":".join(map(str, places))
    os.environ["LTDL_LIBRARY_PATH"] = str(places[0] / "bochs/plugins")
    image = bootable(root, folder, tests)
    if PASSED not in emulate(root, folder, image):
        sys.exit("error: the tests did not pass on the emulated processor")


main()
