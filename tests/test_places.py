"""Two runs in one place, places that cannot be written to, disks that are full, and more images than memory: said before the
work, and nothing lost."""

import contextlib
import fcntl
import io
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import tarfile
import tempfile
import zlib

import pytest
from stages import BINARIES, STAGES, small_chain

LOCKS = {
    "fetch": "data/.raw.lock", "preprocess": "data/.shards.lock", "train": "run/.lock", "export": "run/.lock",
    "evaluate": "run/report/.lock",
}
NOBODY = 65534
# What the stages say when they have begun.
SIGNS_OF_WORK = ["wrote `", "files in 2 classes", "epoch 1/", "nodes,", "evaluate: `run/model.onnx`"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    chain = small_chain(tmp_path_factory.mktemp("whole"))
    chain.run_well(*STAGES)
    return chain


def copy_of(chain, folder):
    shutil.copytree(chain.folder, folder, dirs_exist_ok=True)
    return small_chain(folder)


def outputs(chain):
    return {stage: chain.outputs(stage) for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_place_is_taken_names_the_process_and_leaves_everything(whole, tmp_path, stage):
    chain = copy_of(whole, tmp_path)
    lock = tmp_path / LOCKS[stage]
    with open(lock, "w+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{os.getpid()}\n")
        file.flush()
        code, said = chain.run(stage)
        assert code == 1
        assert f"is being written to by process {os.getpid()}" in said and "hint: wait until it has ended" in said
    assert outputs(chain) == outputs(whole)
    # The file stays behind as a killed process would leave it; it keeps nobody out.
    chain.run_well(stage)
    assert not lock.exists()
    assert chain.outputs(stage) == whole.outputs(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_of_many_runs_at_once_one_works_and_the_others_are_refused(whole, tmp_path, stage):
    chain = copy_of(whole, tmp_path)
    processes = [chain.start(stage) for _ in range(6)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert any(code == 0 for _, code in ended)
    for said, code in ended:
        assert code == 0 or "is being written to by" in said, said
    assert outputs(chain) == outputs(whole)
    assert chain.leftovers() == []


@pytest.fixture
def open_folder():
    """A folder that another user can get to."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def run_by_another(chain, folder, stage):
    """Runs a stage by a user who is not root, who may write anywhere; the binary is in `folder` for it."""
    binary = folder / stage
    shutil.copy2(BINARIES / stage, binary)
    binary.chmod(0o755)
    other_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [binary, *chain.command(stage)[1:]]
    return subprocess.run(command, cwd=chain.folder, text=True, capture_output=True, **other_user)


def assert_refused_before_the_work(done):
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert errors[0].startswith("error: cannot create") and "Permission denied" in done.stderr, done.stderr
    assert not any(sign in done.stderr for sign in SIGNS_OF_WORK), done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_a_place_that_cannot_be_written_to_is_said_before_the_work(whole, open_folder, stage):
    chain = copy_of(whole, open_folder / "chain")
    chain.folder.chmod(0o755)
    if stage == "evaluate":
        # Its own folder alone; and the run's, where there is none yet.
        chain.remove(stage)
    folder = {"fetch": "data", "preprocess": "data"}.get(stage, "run")
    (chain.folder / folder).chmod(0o555)
    assert_refused_before_the_work(run_by_another(chain, open_folder, stage))
    if stage != "evaluate":
        assert outputs(chain) == outputs(whole)


@pytest.mark.parametrize("stage, folder", [("fetch", "data/raw"), ("preprocess", "data/shards")])
def test_an_earlier_output_that_is_write_protected_stays(whole, open_folder, stage, folder):
    """In a folder that can be written to: it could be renamed, but not removed."""
    chain = copy_of(whole, open_folder / "chain")
    for path in [chain.folder, *chain.folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755 if (chain.folder / folder) in [path, *path.parents] else 0o777)
    for _ in range(2):
        assert_refused_before_the_work(run_by_another(chain, open_folder, stage))
        assert outputs(chain) == outputs(whole)
        assert chain.leftovers() == []


@contextlib.contextmanager
def small_disk(place, size):
    """A disk of so many bytes at `place`; yields what makes it larger."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", place], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("NOT CHECKED: this user may not mount a small disk; the limit of a file's size is checked instead")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_said_before_the_work_and_room_mends_it(whole, tmp_path, stage):
    chain = copy_of(whole, tmp_path)
    if stage != "export":
        chain.remove(stage)
    folder = {"fetch": "data", "preprocess": "data", "evaluate": "run/report"}.get(stage, "run")
    inputs = tmp_path / "inputs"
    if (tmp_path / folder).exists():
        (tmp_path / folder).rename(inputs)
    else:
        inputs.mkdir()
    with small_disk(tmp_path / folder, "4m") as resize:
        shutil.copytree(inputs, tmp_path / folder, dirs_exist_ok=True)
        filler = tmp_path / folder / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        before = outputs(chain)
        code, said = chain.run(stage)
        assert code == 1
        assert "No space left on device" in said and "hint: make room" in said, said
        assert not any(sign in said for sign in SIGNS_OF_WORK), said
        assert outputs(chain) == before
        filler.unlink()
        resize("16m")
        chain.run_well(stage)
        assert chain.outputs(stage) == whole.outputs(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_amid_the_work_costs_nothing_that_was_good(tmp_path, stage):
    # Pixels enough that files of them are the largest ones; and for `fetch`, that an image is larger than its scratch file.
    chain = small_chain(tmp_path, side=300 if stage == "fetch" else 40)
    chain.run_well(*STAGES)
    whole = outputs(chain)
    # The system's own limit of a file's size stands for the disk: each file may have so many bytes.
    largest = max(len(contents) for contents in whole[stage].values())
    refused = 0
    for limit in sorted({16, 100, largest // 3, largest - 1}):
        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            # Else the system kills the process instead of refusing the write.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        before = chain.outputs(stage)
        code, said = chain.run(stage, preexec_fn=limited, restore_signals=False)
        if code == 0:
            continue
        refused += 1
        assert code == 1 and "File too large" in said and "hint: make room" in said, said
        left = chain.outputs(stage)
        if stage in ("fetch", "preprocess"):
            assert left == before
        else:
            # Of what it had begun to replace, nothing looks finished.
            assert all(left[name] == before[name] for name in left if name in before and "metrics" not in name)
        assert chain.leftovers() == []
        chain.run_well(stage)
        assert outputs(chain) == whole
    assert refused >= 2



def png(number):
    """An image of 4 by 4 pixels like no other number's."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    pixels = number.to_bytes(16, "big")
    rows = b"".join(b"\0" + pixels[start : start + 4] for start in range(0, 16, 4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def test_what_preprocess_keeps_of_every_image_lies_in_files(tmp_path):
    """The memory that is its own is bounded to less than names, digests and places of so many images are."""
    images, memory = 100_000, 40 << 20
    with tarfile.open(tmp_path / "many.tar", "w") as tar:
        for number in range(images):
            member = tarfile.TarInfo(f"{'AB'[number % 2]}/{number:032}.png")
            content = png(number)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    command = [BINARIES / "preprocess", "--archive", "many.tar", "--output", "shards", "--threads", "1", "--shard-size", "1000"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory, memory)))
    assert done.returncode == 0, done.stderr
    assert f"{images:,} files" in done.stderr
