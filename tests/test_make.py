"""The commands of the Makefile, in a folder whose path has every character that a shell or make could stumble over."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import lineage
import pytest

HARD = "a b'c\"d$e&f;g(h)"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What the commands need of the repository, with an environment that is this one."""
    place = tmp_path_factory.mktemp("make") / HARD
    shutil.copytree(
        lineage.ROOT,
        place,
        ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs", "__pycache__", "results", ".*_cache"),
    )
    (place / ".venv" / "bin").mkdir(parents=True)
    python = place / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for mark in ("ready", "ready-dev"):
        (place / ".venv" / mark).touch()
    return place


def make(place, *arguments, **options):
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240, **options)


@pytest.mark.xdist_group("make")
def test_train_and_watch(place):
    done = make(place, "train", "ALGO=QLearning", "ARGS=--steps 300 --seed 7")
    assert done.returncode == 0, done.stderr
    (run,) = (place / "QLearning" / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["seed"] == 7
    assert str(run) in done.stdout
    without = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    said = make(place, "watch", "ALGO='QLearning'", env=without).stderr
    assert "no screen" in said, "it is main.py that says so"


@pytest.mark.xdist_group("make")
def test_learn_diff_twins_and_help(place):
    (place / "benchmarks" / "results").mkdir(exist_ok=True)
    done = make(place, "learn", "ARGS=QLearning", "SEED=3")
    assert "1 of 1 solved with seed 3" in done.stdout, done.stderr
    assert "+        self.advantage = " in make(place, "diff", "ALGO=DuelingDQN").stdout
    assert "has no parent" in make(place, "diff", "ALGO=DQN").stdout
    twin = place / "Sarsa" / "spaces.py"
    twin.write_text("")
    assert "Sarsa/spaces.py" in make(place, "twins").stdout
    assert twin.read_text() == (lineage.ROOT / "Sarsa" / "spaces.py").read_text()
    assert "test-faults" in make(place, "help").stdout
    wrong = make(place, "train", "ALGO=Nowhere")
    assert (wrong.returncode, "Nowhere" in wrong.stderr) == (2, True)


@pytest.mark.xdist_group("make")
def test_the_tests_themselves(place):
    """Lint, formatting and pytest are begun; one small test stands for all of them."""
    done = make(place, "test", "ARGS=-q -p no:cacheprovider tests/test_twins.py -k what_is_said_to_differ")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.xdist_group("make")
def test_curves_opens_tensorboard(place):
    command = ["make", "curves", "PORT=0", f"PYTHON={sys.executable}"]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        lines, last = "", time.monotonic() + 120
        while "http://localhost" not in lines and time.monotonic() < last and process.poll() is None:
            lines += process.stderr.readline()
        assert "TensorBoard" in lines
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.xdist_group("make")
def test_the_set_up(place, tmp_path):
    """The rule that makes the environment, with nothing to install."""
    new = tmp_path / HARD
    new.mkdir()
    shutil.copy(lineage.ROOT / "Makefile", new)
    (new / "requirements.txt").touch()
    done = make(new, ".venv/ready")
    assert done.returncode == 0, done.stderr
    assert (new / ".venv" / "ready").exists()
    assert subprocess.run([new / ".venv" / "bin" / "python", "-c", "import pip"]).returncode == 0
