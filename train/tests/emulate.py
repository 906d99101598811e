#!/usr/bin/env python3
"""Runs the CPU engine's tests on emulated processors: 64-bit ARM (QEMU), and x86-64 with AVX-512 (Bochs, which boots Linux
with nothing but them).

usage: emulate.py FOLDER [neon|avx512]...         (on Debian, by any user; `make emulate` calls it)

Packages of Debian's, a compiler for ARM among them, are downloaded and unpacked in FOLDER (500 MB, 3 GB unpacked); nothing is
installed. Exits with 1 unless every test passed and the processors were what they should be. Takes ten minutes on an idle
machine.
"""
import gzip
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Debian's suites: one with a compiler that is new enough, and one whose Bochs has AVX512-FP16 and is built well (that of the
# one after it, 3.1, divides wrongly).
ARM_SUITE, ARM_PACKAGES = "forky", ["rustc", "cargo", "gcc", "libc6-dev", "libstd-rust-dev:arm64", "gcc-aarch64-linux-gnu",
                                    "libc6-dev-arm64-cross", "qemu-user"]
X86_SUITE, X86_PACKAGES = "trixie", ["bochs", "bochs-term", "bochsbios", "vgabios", "busybox-static", "isolinux",
                                     "syslinux-common", "xorriso", "linux-image-cloud-amd64"]
# The tests that compare the kernels of all processors: those inside the engine, and whole trainings.
TESTS = {"train": ["cpu::"], "engine": []}
ARM = "aarch64-unknown-linux-gnu"
# Features of the emulated processor that this Bochs has otherwise than Linux expects.
HIDDEN_FEATURES = "pku,xsaves,xsavec,waitpkg,fsrm,umip,invpcid,pcid,shstk,ibt,movdiri,movdir64b,rdpid"
KERNEL_ARGUMENTS = f"console=ttyS0 rdinit=/init mitigations=off clearcpuid={HIDDEN_FEATURES} quiet"
# Bochs refuses the scatter instruction where its places are in one of the upper sixteen registers.
COMPILER_FLAGS = "-C target-feature=+prefer-no-scatter,+prefer-no-gather"
PASSED, LONGEST_SECONDS = "all tests passed", 3600


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def unpacked(folder, suite, packages):
    """The packages' files, with those that they depend on, under one root."""
    root = folder / "root"
    if not (folder / ".unpacked").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for made in (root, folder / "lists/partial", folder / "cache/archives/partial"):
            made.mkdir(parents=True)
        (folder / "status").touch()
        sources = run("apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI)", capture_output=True, text=True).stdout
        mirror = re.search(r"^Packages (\S+/debian/)$", sources, re.MULTILINE)[1]
        (folder / "sources.list").write_text(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n")
        options = [f"Dir::Etc::sourcelist={folder}/sources.list", "Dir::Etc::sourceparts=/dev/null",
                   f"Dir::State::lists={folder}/lists", f"Dir::State::status={folder}/status", f"Dir::Cache={folder}/cache",
                   "APT::Architectures::=amd64", "APT::Architectures::=arm64", "APT::Install-Recommends=0",
                   "APT::Sandbox::User=root"]
        apt = ["apt-get", "--quiet", "--quiet", *(part for option in options for part in ("--option", option))]
        run(*apt, "update")
        run(*apt, "install", "--yes", "--download-only", "base-files", "dash", "coreutils", *packages)
        for package in (folder / "cache/archives").glob("*.deb"):
            run("dpkg", "-x", package, root)
            package.unlink()
        (folder / ".unpacked").touch()
    return root


def inside(root, command, folders):
    """A command line that runs a shell's command with the packages' programs, and these folders at their places in it."""
    folders = {"/dev": "/dev", "/proc": "/proc", **folders}
    for place in folders.values():
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    mounts = [f"mount --rbind {shlex.quote(str(there))} {shlex.quote(str(root) + place)}" for there, place in folders.items()]
    script = " && ".join([*mounts, f"exec chroot {shlex.quote(str(root))} /usr/bin/sh -c {shlex.quote(command)}"])
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", script]


def on_arm(folder):
    """The tests, built by Debian's compiler and run by QEMU. Whether they passed."""
    root = unpacked(folder, ARM_SUITE, ARM_PACKAGES)
    registry = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry"
    run("cargo", "fetch", "--locked", "--quiet", cwd=REPOSITORY)
    test = f"cargo test --offline --locked --release --target {ARM} --package train"
    chosen = {name: "--lib" if name == "train" else f"--test {name}" for name in TESTS}
    tests = "; ".join(f"{test} {chosen[name]} -- {' '.join(filters)} || exit" for name, filters in TESTS.items())
    command = f"""cd /repository
export PATH=/usr/bin HOME=/tmp CARGO_HOME=/cargo CARGO_TARGET_DIR=/target
export HOST_CC=gcc CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu'
{tests}"""
    return subprocess.run(inside(root, command, {REPOSITORY: "/repository", registry: "/cargo/registry"})).returncode == 0


def built_tests(folder):
    """The test programs for this machine by their names."""
    environment = os.environ | {"RUSTFLAGS": COMPILER_FLAGS, "CARGO_TARGET_DIR": str(folder / "target")}
    made = run("cargo", "test", "--package", "train", "--release", "--locked", "--no-run", "--message-format", "json",
               stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY).stdout
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
/bin/busybox grep -q avx512_fp16 /proc/cpuinfo || {{ echo "the guest has no AVX512-FP16"; failed=1; }}
cd /tests
{commands}
if [ -n "$failed" ]; then /bin/busybox dmesg | /bin/busybox tail -n 3; else echo "{PASSED}"; fi
/bin/busybox sleep 5
/bin/busybox poweroff -f
"""
    files = {"dev/console": (0o20600, b"", (5, 1)), "init": (0o100755, init.encode(), nowhere),
             "bin/busybox": (0o100755, (root / "usr/bin/busybox").read_bytes(), nowhere)}
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
    shutil.copy(next(root.glob("boot/vmlinuz-*")), disc / "vmlinuz")
    for file in ("ISOLINUX/isolinux.bin", "syslinux/modules/bios/ldlinux.c32"):
        shutil.copy(root / "usr/lib" / file, disc / "isolinux")
    (disc / "isolinux/isolinux.cfg").write_text(
        f"DEFAULT tests\nLABEL tests\n KERNEL /vmlinuz\n APPEND initrd=/initrd.gz {KERNEL_ARGUMENTS}\n")
    (disc / "initrd.gz").write_bytes(ram_disk(root, tests))
    (folder / "tests.iso").unlink(missing_ok=True)
    run(*inside(root, "cd /emulator && /usr/bin/xorriso -as mkisofs -quiet -o tests.iso -b isolinux/isolinux.bin -c "
                      "isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table disc", {folder: "/emulator"}))


def on_avx512(folder):
    """The tests, built here and run by a Linux that Bochs boots on a processor with AVX512-FP16. Whether they passed."""
    root = unpacked(folder, X86_SUITE, X86_PACKAGES)
    bootable(root, folder, built_tests(folder))
    serial = folder / "serial.txt"
    serial.unlink(missing_ok=True)
    (folder / "continue").write_text("c\n")
    (folder / "bochsrc").write_text(f"""\
display_library: rfb, options="timeout=0"
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=tigerlake, add_features=avx512fp16, ips=200000000
memory: guest=512, host=512
ata0-master: type=cdrom, path=tests.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial.txt
log: bochs.log
panic: action=fatal
clock: sync=none
""")
    command = "cd /emulator && PATH=/usr/bin exec bochs-bin -q -f bochsrc -rc continue"
    with (folder / "bochs.out").open("w") as output:
        bochs = subprocess.Popen(inside(root, command, {folder: "/emulator"}), stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=output)
    start, shown = time.monotonic(), 0
    try:
        while True:
            ended = bochs.poll() is not None or time.monotonic() - start > LONGEST_SECONDS
            text = serial.read_bytes().decode(errors="replace") if serial.exists() else ""
            print(text[shown:], end="", flush=True)
            shown = len(text)
            if ended or "Power down" in text:
                return PASSED in text
            time.sleep(1)
    finally:
        bochs.kill()
        bochs.wait()


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    processors = {"neon": on_arm, "avx512": on_avx512}
    failed = [name for name in sys.argv[2:] or processors if not processors[name](folder / name)]
    if failed:
        sys.exit(f"error: the tests did not pass on {' and '.join(failed)}")


main()
