"""Whenever a stage is killed, running it again gives the bytes of a run that nobody disturbed."""

import random
import shutil
import signal
import subprocess
import time

import pytest
from stages import STAGES, STRAIGHT, before, small_chain

KILLS = 50
TERMINATIONS = 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished chain, with the seconds that each stage took."""
    chain = small_chain(tmp_path_factory.mktemp("undisturbed"))
    seconds = {}
    for stage in STAGES:
        start = time.perf_counter()
        chain.run_well(stage)
        seconds[stage] = time.perf_counter() - start
    assert chain.leftovers() == []
    seconds[STRAIGHT] = seconds["preprocess"]
    return chain, seconds


class Interrupter:
    """Sends stages a signal at a random moment, mostly before their end, however long that takes on this machine."""

    def __init__(self, what, seconds):
        self.generator = random.Random(what)
        self.seconds = dict(seconds)

    def interrupt(self, chain, stage, how):
        """Starts a stage and sends it a signal; the exit code and what it said."""
        start = time.perf_counter()
        process = chain.start(stage)
        try:
            process.wait(self.generator.uniform(0, 1.1 * self.seconds[stage]))
            self.seconds[stage] = time.perf_counter() - start
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        _, said = process.communicate()
        return process.returncode, said


@pytest.mark.parametrize("stage", [*STAGES, STRAIGHT])
def test_killed_at_any_moment_and_run_again_a_stage_gives_the_same_bytes(undisturbed, tmp_path, stage):
    whole, seconds = undisturbed
    chain = small_chain(tmp_path)
    chain.run_well(*before(stage))
    expected = whole.outputs(stage)
    interrupter = Interrupter(f"kills of {stage}", seconds)
    killed = number = 0
    while killed < KILLS:
        number += 1
        earlier = chain.outputs(stage)
        code, said = interrupter.interrupt(chain, stage, signal.SIGKILL)
        assert code in (0, -signal.SIGKILL), said
        killed += code != 0
        left = chain.outputs(stage)
        if stage in ("fetch", "preprocess", STRAIGHT):
            # A folder is replaced whole: the old one, the new one or, for the moment between two renames, none.
            assert left in (earlier, expected, {}), number
        else:
            # The journal of a training grows until `training.json` vouches for it.
            grows = {"run/metrics.jsonl"} if "run/training.json" not in left else set()
            assert all(left[name] == expected[name] for name in left.keys() - grows), number
        chain.run_well(stage)
        assert chain.outputs(stage) == expected, number
        assert chain.leftovers() == [], number
        # Every other run is killed over a finished one.
        if number % 2:
            chain.remove(stage)


@pytest.mark.parametrize("stage", [*STAGES, STRAIGHT])
def test_sigterm_ends_with_143_and_leaves_nothing_unfinished(undisturbed, tmp_path, stage):
    whole, seconds = undisturbed
    chain = small_chain(tmp_path)
    chain.run_well(*before(stage))
    interrupter = Interrupter(f"terminations of {stage}", seconds)
    terminated = number = 0
    while terminated < TERMINATIONS:
        number += 1
        code, said = interrupter.interrupt(chain, stage, signal.SIGTERM)
        # Before `main` has begun, the system itself ends the process.
        assert code in (0, 143, -signal.SIGTERM), said
        if code == 143:
            terminated += 1
            assert "error: stopped by SIGTERM" in said
            assert chain.leftovers() == [], number
        chain.run_well(stage)
        assert chain.outputs(stage) == whole.outputs(stage), number
        chain.remove(stage)


def test_a_training_that_was_terminated_says_how_it_goes_on_and_does(undisturbed, tmp_path):
    whole, _ = undisturbed
    chain = small_chain(tmp_path)
    chain.run_well("fetch", "preprocess")
    process = chain.start("train")
    while not (tmp_path / "run/training-state.safetensors").exists():
        time.sleep(0.0005)
    process.terminate()
    _, said = process.communicate()
    if process.returncode == 143:
        assert "hint: where an epoch of this training was finished, `--resume` continues after the last one" in said
        assert not (tmp_path / "run/training.json").exists()
    code, said = chain.run("train")
    assert code == 0 and "resuming after epoch" in said
    assert chain.outputs("train") == whole.outputs("train")


def test_runs_killed_one_after_the_other_down_the_chain_end_in_the_same_bytes(undisturbed, tmp_path):
    whole, seconds = undisturbed
    chain = small_chain(tmp_path)
    interrupter = Interrupter("down the chain", seconds)
    for stage in STAGES:
        for _ in range(3):
            interrupter.interrupt(chain, stage, signal.SIGKILL)
        chain.run_well(stage)
    for stage in STAGES:
        assert chain.outputs(stage) == whole.outputs(stage)
    shutil.rmtree(tmp_path / "data")
