"""Kills, signals, damage and full disks at every moment, in every folder: what takes too long for each change.

    python -m pytest -n 2 --dist loadgroup tests/long_faults.py

FAULTS_RESULTS names a file that gets a line for each trial: what was tried, how often, and the most seconds it took.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lineage
import processes
import pytest
import test_faults as short
import torch
from damage import damaged, unfit
from folders import TABULAR
from processes import orphans, refused
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

KILLS, DAMAGES, MISFITS = 10, 1000, 150  # in each folder
WORKERS = 10  # of A3C and DPPO that are killed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OTHERS = [folder for folder in lineage.FOLDERS if folder not in short.SOME]
OFTEN = {"SAVE_SECONDS = 30.0": "SAVE_SECONDS = 0.0", "50 * (": "0 * (", "min(1000, total_steps // 500)": "200"}
MARK = "(self.path / 'mark').touch(); "
MOMENTS = {  # lines of the plumbing that leave a mark at this moment, and constants with which it lasts
    "training": ({**OFTEN, "SAVE_SECONDS = 30.0": "SAVE_SECONDS = 0.5"}, {"EVAL_EVERY": 10**8}),
    "evaluation": (
        {"agent, seed = self.snapshot(), CHOICE": f"{MARK}agent, seed = self.snapshot(), CHOICE"},
        {"EVAL_EPISODES": 10**6, "EVAL_EVERY": 20},
    ),
    "final evaluation": (
        {"FINAL_EPISODES = 100": "FINAL_EPISODES = 10**6", "scores = self.task": f"{MARK}scores = self.task"},
        {"TOTAL_STEPS": 60},
    ),
    "saving": (
        OFTEN | {"os.fsync(file.fileno())": "(path / 'mark').touch(); time.sleep(0.3); os.fsync(file.fileno())"},
        {"EVAL_EVERY": 10**8},
    ),
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
every_folder = pytest.mark.parametrize("folder", short.GROUPED)
server, trained = short.server, short.trained


def note(what, folder, tried, **more):
    """A line for the table of what was tried."""
    if path := os.environ.get("FAULTS_RESULTS"):
        with open(path, "a") as file:
            file.write(json.dumps({"what": what, "folder": folder, "tried": tried} | more) + "\n")


def changed_since(file, time_ns):
    return file.exists() and file.stat().st_mtime_ns != time_ns


def modified(file):
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_for(condition, process, seconds=90):
    last = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout + process.stderr
        assert time.monotonic() < last, "it has not come so far"
        time.sleep(0.005)


def wait_until_it_trains(process, run, before):
    """The checkpoint of the start is written, and one more after some steps."""
    file = run / "checkpoint.pt"
    wait_for(lambda: changed_since(file, before), process)
    first = modified(file)
    wait_for(lambda: changed_since(file, first), process)


# Kills


@every_folder
def test_killed_at_any_moment_a_run_goes_on(folder, server, tmp_path):
    rng = random.Random(folder)
    folder = processes.prepared(folder, tmp_path, OFTEN, TOTAL_STEPS=10**7, EVAL_EVERY=1000)
    rooms, run, steps, torn = short.load_from(folder), folder / "runs" / "one", [0], 0
    for i in range(KILLS):
        before = modified(run / "checkpoint.pt")
        time.sleep(1.1)  # names of event files have whole seconds, and TensorBoard reads them in their order
        process = server.start(folder, "--run", run, *["--resume"] * bool(i))
        wait_until_it_trains(process, run, before)
        time.sleep(rng.uniform(0, 0.3))
        if i % 2:  # while a checkpoint is written
            wait_for((run / "checkpoint.pt.tmp").exists, process)
            time.sleep(rng.uniform(0, 0.002))
        process.kill()
        assert not orphans(folder, 30)  # a worker that still imports its packages ends after that
        torn += (run / "checkpoint.pt.tmp").exists()
        kept = rooms.checkpoint.load(run)
        assert kept["step"] > steps[-1]
        steps.append(kept["step"])
        agrees(folder.name, kept, short.restore(rooms, run).agent, rooms.main, starts=i + 1)
    time.sleep(1.1)
    last = server.run(folder, "--resume", "--run", run, "--steps", steps[-1] + 400)
    assert last.status == 0, last.stderr
    assert not (run / "checkpoint.pt.tmp").exists()
    curves = EventAccumulator(str(run), {"scalars": 0}).Reload()
    for tag in curves.Tags()["scalars"]:
        points = [point.step for point in curves.Scalars(tag)]
        assert points == sorted(set(points)), f"{tag} goes back"
        assert points[0] > 0
    speed = [point.step for point in curves.Scalars("speed/steps_per_second")]
    assert speed[0] <= steps[1]
    assert speed[-1] == curves.Scalars("eval/score")[-1].step >= steps[-1] + 400
    for begin, end in itertools.pairwise(steps):
        assert any(begin < step <= end for step in speed), "each part is in the curve"
    note("SIGKILL, then --resume", folder.name, KILLS, torn=torn)


ROLLOUTS = {  # environment steps in one, and updates from it
    "ActorCritic": (10, 1), "A2C": (10, 1), "TRPO": (10, 4), "PPO": (10, 4), "DPPO": (20, 4),
}  # fmt: skip


def agrees(folder, kept, restored, main, starts):
    """Counters in the checkpoint, and of the agent restored from it, are what so many steps make.

    Each start loses the rollout under way.
    """
    agent, step = kept["agent"], kept["step"]
    adam = {n: max((int(s["step"]) for s in agent[n]["state"].values()), default=0) for n in agent if "optim" in n}
    taken = adam.get("critic_optimizer", adam.get("optimizer", 0))
    if folder in TABULAR:
        assert agent["updates"] == step
    elif "replay" in agent:
        assert agent["replay"]["added"] == step
        assert len(restored.replay) == min(step, main.CAPACITY)
        assert agent["replay"]["transitions"].nbytes == len(restored.replay) * restored.replay.transitions.itemsize
        assert taken == len([s for s in range(1, step + 1) if s >= main.LEARNING_STARTS and s % main.TRAIN_EVERY == 0])
        assert agent.get("updates", taken) == taken
        assert agent.get("actions", step) == step
        assert folder != "TD3" or adam["actor_optimizer"] == taken // main.POLICY_DELAY
    elif folder in ROLLOUTS:
        steps, updates = ROLLOUTS[folder]
        assert agent.get("updates", taken) == taken
        assert taken % updates == 0
        assert step // steps - starts - 1 <= taken // updates <= step // steps
    elif folder == "ACER":
        rollouts = agent["rollout"]["taken"]
        assert step // 10 - starts - 1 <= rollouts <= step // 10
        assert agent["updates"] == taken >= rollouts
        assert len(agent["rollout"]["steps"][0]) == min(rollouts, main.CAPACITY)
    elif folder == "A3C":  # no locks: now and then a number gets lost
        assert 0.5 * step < agent["steps"] < 2 * step + 1000
        assert abs(taken * main.N_STEPS - agent["steps"]) < 0.1 * agent["steps"] + 50
        note("A3C's steps", folder, 1, step=step, counted=agent["steps"], adam=taken * main.N_STEPS)
    else:
        assert agent["updates"] == taken
        assert 0 < taken <= step // main.UPDATE_STEPS


# Signals


@every_folder
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_saves_and_stops_the_run(folder, moment, server, tmp_path):
    edits, constants = MOMENTS[moment]
    folder = processes.prepared(folder, tmp_path, edits, **{"TOTAL_STEPS": 10**7} | constants)
    rooms, run, seconds = short.load_from(folder), folder / "runs" / "one", []
    mark = run / "mark"
    for i, number in enumerate(SIGNALS):
        mark.unlink(missing_ok=True)
        before = modified(run / "checkpoint.pt")
        process = server.start(folder, "--run", run, *["--resume"] * bool(i))
        if moment == "training":
            wait_until_it_trains(process, run, before)
        else:
            wait_for(mark.exists, process)
        if moment == "saving":
            wait_for(lambda before=before: changed_since(run / "checkpoint.pt", before), process)
            mark.unlink()
            wait_for(mark.exists, process)
        seconds.append(stopped(process, number))
        assert f"--resume --run {run}" in process.stdout.splitlines()[-1] or "'" in process.stdout
        kept = rooms.checkpoint.load(run)
        assert bool(kept["evaluating"]) == (moment == "evaluation")
        assert not (run / "checkpoint.pt.tmp").exists()
        mark.unlink(missing_ok=True)
    if moment != "evaluation":  # which would last
        short.restore(rooms, run)
    note(f"signal in {moment}", folder.name, len(SIGNALS), seconds=max(seconds))


def stopped(process, number, begun=True):
    """Send the signal; the seconds until the process has ended as it should."""
    began = time.monotonic()
    process.send(number)
    assert process.wait(30) == 128 + number, process.stderr
    seconds = time.monotonic() - began
    assert seconds < 10
    assert not orphans(process.folder), "it has left processes"
    lines = (process.stdout + process.stderr).splitlines()
    assert len([line for line in lines if line.startswith("stopped")]) == 1, lines
    assert "Traceback" not in process.stderr
    assert not begun or "saved at step" in process.stdout.splitlines()[-1]
    return seconds


@every_folder
def test_a_signal_in_the_first_seconds_stops_the_run(folder, tmp_path):
    rng = random.Random(folder)
    folder, seconds = processes.prepared(folder, tmp_path, TOTAL_STEPS=10**7), []
    for number in SIGNALS:
        moment = rng.uniform(0.2, 3.0)  # before that Python itself begins
        said = open(tmp_path / "said", "w+")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "main.py"], cwd=folder, stdout=said, stderr=said, start_new_session=True
        )
        time.sleep(moment)
        began = time.monotonic()
        os.killpg(process.pid, number)
        status = process.wait(30)
        seconds.append(time.monotonic() - began)
        said.seek(0)
        text = said.read()
        assert not orphans(folder), moment
        assert "Traceback" not in text, f"after {moment:.2f} s: {text}"
        if status == -number:  # Python itself had not begun
            assert moment < 0.6
            assert text == ""
            continue
        assert status == 128 + number, f"after {moment:.2f} s: {text}"
        assert len([line for line in text.splitlines() if line.startswith("stopped")]) == 1, text
        assert seconds[-1] < 10
    note("signal in start-up", folder.name, len(SIGNALS), seconds=max(seconds))


@pytest.mark.parametrize("folder", short.MANY)
def test_a_signal_while_workers_start_stops_the_run(folder, server, tmp_path):
    rng = random.Random(folder)
    folder, seconds = processes.prepared(folder, tmp_path, TOTAL_STEPS=10**7), []
    for number in 3 * SIGNALS:
        process = server.start(folder)
        wait_for(lambda process=process: len(processes.processes_in(folder)) > 1, process)
        time.sleep(rng.uniform(0.0, 3.0))
        seconds.append(stopped(process, number, begun=False))
    note("signal while workers start", folder.name, len(seconds), seconds=max(seconds))


@pytest.mark.parametrize("folder", short.MANY)
def test_a_worker_killed_at_any_moment_ends_the_run(folder, server, tmp_path):
    rng = random.Random(folder)
    folder, seconds = processes.prepared(folder, tmp_path, OFTEN, TOTAL_STEPS=10**7, EVAL_EVERY=1000), []
    for _ in range(WORKERS):
        process = server.start(folder)
        wait_for(lambda process=process: workers(process), process)
        time.sleep(rng.choice([rng.uniform(0, 1), rng.uniform(1, 6)]))
        began = time.monotonic()
        os.kill(rng.choice(workers(process)), signal.SIGKILL)
        status = process.wait(20)
        seconds.append(time.monotonic() - began)
        refused(status, process.stderr, "worker")
        assert not orphans(folder)
        assert seconds[-1] < 10
    note("SIGKILL of a worker", folder.name, WORKERS, seconds=max(seconds))


def workers(process):
    """The processes that the run has started to learn in."""
    found = [pid for pid in processes.processes_in(process.folder) if pid != process.pid]
    return [pid for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


# Damage


def test_all_damage_is_seen(trained, tmp_path, capsys):
    content, file = (trained.run / "checkpoint.pt").read_bytes(), tmp_path / "checkpoint.pt"
    seen = unharmed = 0
    for what, bad in damaged(content, random.Random(1), DAMAGES):
        file.write_bytes(bad)
        try:
            kept = trained.rooms.checkpoint.load(tmp_path)
        except SystemExit as end:
            refused(end.code, capsys.readouterr().err, file)
            seen += 1
        else:
            assert short.same(kept, trained.kept), f"{what}: other numbers"
            unharmed += 1
        assert file.read_bytes() == bad
    note("damaged files", trained.folder, DAMAGES, refused=seen, unharmed=unharmed)


def test_all_misfits_are_refused(trained, tmp_path, capsys):
    taken, tried = [], 0
    for what, kept in unfit(trained.kept, random.Random(1), MISFITS):
        run = tmp_path / "run"
        run.mkdir()
        torch.save(kept, run / "checkpoint.pt")
        before = (run / "checkpoint.pt").read_bytes()
        try:
            status = short.status_of(short.restore, trained.rooms, run)
        except Exception as error:
            status = repr(error)
        said = capsys.readouterr().err
        if status == 2:
            refused(status, said, run)
            assert (run / "checkpoint.pt").read_bytes() == before
        else:
            taken.append((what, status))
        shutil.rmtree(run)
        tried += 1
    note("files with other entries", trained.folder, tried, taken=len(taken))
    assert not taken


# The disk


@pytest.mark.skipif(os.name != "nt" and os.getuid() != 0, reason="only root mounts")
@every_folder
def test_on_a_full_disk_nothing_saved_is_lost(folder, server, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted")
    try:
        folder = processes.prepared(folder, tmp_path, OFTEN, TOTAL_STEPS=10**7)
        rooms, run = short.load_from(folder), disk / "run"
        process = server.start(folder, "--run", run)
        wait_until_it_trains(process, run, 0)
        began = time.monotonic()
        fill(disk / "filler")
        refused(process.wait(60), process.stderr, "No space left on device")
        seconds = time.monotonic() - began
        assert not orphans(folder)
        kept = rooms.checkpoint.load(run)
        (disk / "filler").unlink()
        resumed = server.run(folder, "--resume", "--run", run, "--steps", kept["step"] + 400)
        assert resumed.status == 0, resumed.stderr
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    note("full disk", folder.name, 1, seconds=seconds)


def fill(file):
    """Take all the room that is left."""
    with open(file, "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.mark.parametrize("folder", OTHERS)
def test_what_the_short_tests_try_in_some_folders_holds_in_all(folder, server, tmp_path):
    for test in (
        short.test_a_second_process_is_told_and_a_kill_unlocks,
        short.test_a_run_that_is_deleted_while_it_trains_ends_with_one_line,
        short.test_a_folder_without_write_right_is_said,
    ):
        (path := tmp_path / test.__name__).mkdir()
        test(folder, server, path)
    note("locks, deleted runs, no write right", folder, 3)


@every_folder
def test_two_starts_and_two_resumes_at_once(folder, server, tmp_path):
    folder = processes.prepared(folder, tmp_path, TOTAL_STEPS=10**7)
    both = [server.start(folder, "--steps", 400, "--seed", 3) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0], [process.stderr for process in both]
    results = sorted(folder.glob("runs/*/result.json"))
    assert len(results) == 2
    before = modified(results[0].parent / "checkpoint.pt")
    both = [server.start(folder, "--resume", "--run", results[0].parent, "--steps", 10**7) for _ in range(2)]
    last = time.monotonic() + 60
    while all(process.poll() is None for process in both):
        assert time.monotonic() < last
    (told,) = [process for process in both if process.poll() is not None]
    (other,) = [process for process in both if process is not told]
    wait_for(lambda: changed_since(results[0].parent / "checkpoint.pt", before), other)
    refused(told.status, told.stderr, "trained by another process")
    stopped(other, signal.SIGINT)
    note("two starts, two resumes at once", folder.name, 2)
