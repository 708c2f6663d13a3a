"""A3C: shared memory without locks, the workers, and their ends."""

import contextlib
import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lineage
import numpy as np
import probes
import pytest
import torch
from folders import importable, load

SETTINGS = {
    "hidden": 3, "learning_rate": 1e-3, "learning_steps": 300, "gamma": 0.9, "gae_lambda": 0.8, "entropy_coef": 0.3,
    "max_grad_norm": 1e9, "n_steps": 3, "n_workers": 2, "seed": 0,
}  # fmt: skip
OBS = np.eye(6, dtype=np.float32)[:3] + 0.1
NEXT = np.eye(6, dtype=np.float32)[3:] - 0.2
ACTION, REWARD, TERMINATED, DONE = [0, 1, 1], [5.0, -2.0, 0.5], [1, 0, 0], [1, 0, 1]


def fill(agent):
    for step in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, DONE, strict=True):
        agent.rollout.add(*step)


def statistics(agent):
    return [tensor for state in agent.optimizer.state.values() for tensor in state.values()]


def test_an_update_is_a2cs_and_goes_into_the_shared_networks():
    settings = SETTINGS | {"learning_steps": 10**12}
    shared = load("A3C").agent.Agent(6, 2, **settings).share()
    before = [p.detach().clone() for p in shared.parameters]
    del settings["n_workers"]
    a2c = load("A2C").agent.Agent(6, 2, **settings, n_envs=1)
    worker = shared.worker(1, seed=0)
    for _ in range(3):
        fill(worker)
        fill(a2c)
        drawn, expected = worker.learn(shared), a2c.learn()
        assert drawn == pytest.approx(expected, rel=1e-4)
        for p, mine, theirs, old in zip(shared.parameters, worker.parameters, a2c.parameters, before, strict=True):
            torch.testing.assert_close(p, mine, rtol=0, atol=0)
            assert p.data_ptr() != mine.data_ptr()
            torch.testing.assert_close(p, theirs, rtol=1e-4, atol=1e-6)
            assert not torch.equal(p, old)
    assert shared.steps.tolist() == [0, 9]


def test_the_learning_rate_falls_with_the_steps_of_all_workers():
    shared = load("A3C").agent.Agent(6, 2, **SETTINGS).share()
    workers = [shared.worker(rank, seed=0) for rank in range(2)]
    for n, worker in enumerate(workers * 60, 1):
        fill(worker)
        worker.learn(shared)
        assert shared.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * max(0, 1 - 3 * n / 300))


def test_workers_draw_different_actions():
    shared = load("A3C").agent.Agent(6, 2, **SETTINGS).share()
    obs = np.repeat(OBS[:1], 1000, axis=0)
    drawn = [shared.worker(rank, seed).act(obs).tolist() for rank, seed in ((0, 0), (1, 0), (0, 1))]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
    assert drawn[0] == shared.worker(0, 0).act(obs).tolist()


def test_sharing_changes_no_weight_and_keeps_statistics():
    agent = load("A3C").agent.Agent(6, 2, **SETTINGS)
    before = [p.detach().clone() for p in agent.parameters]
    agent.share()
    assert all(tensor.is_shared() for tensor in (*agent.parameters, *statistics(agent), agent.steps))
    assert all(torch.equal(p, old) for p, old in zip(agent.parameters, before, strict=True))
    assert all((tensor == 0).all() for tensor in statistics(agent))
    worker = agent.worker(0, seed=0)
    fill(worker)
    worker.learn(agent)
    other = load("A3C").agent.Agent(6, 2, **SETTINGS)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    other.share()
    for mine, theirs in zip(statistics(agent), statistics(other), strict=True):
        assert torch.equal(mine, theirs)
    assert other.steps.sum() == 3


def test_several_processes_learn_into_the_same_memory():
    rooms = load("A3C")
    assert min(16, os.cpu_count()) == rooms.main.N_WORKERS
    rooms.main.N_WORKERS = 2
    agent = rooms.main.make_agent(rooms.main.make_env(), 0).share()
    before = [p.detach().clone() for p in agent.parameters]
    places = [tensor.data_ptr() for tensor in (*agent.parameters, *statistics(agent))]
    with importable("A3C", rooms), contextlib.closing(rooms.workers.reports(rooms.main.work, 2, agent, 0)) as reports:
        for n in range(2000):
            report = next(reports)
            assert all(np.isfinite(value) for value in report.values())
            if n > 100 and (agent.steps > 0).all():
                break
    assert (agent.steps > 0).all(), "each worker's own count grows"
    assert agent.steps.sum() >= n * rooms.main.N_STEPS
    assert [tensor.data_ptr() for tensor in (*agent.parameters, *statistics(agent))] == places
    assert all(not torch.equal(p, old) and p.isfinite().all() for p, old in zip(agent.parameters, before, strict=True))
    updates = agent.steps.sum().item() / rooms.main.N_STEPS
    counts = {state["step"].item() for state in agent.optimizer.state.values()}
    assert all(0.8 * updates <= count <= updates for count in counts), "few updates are lost without locks"


@pytest.mark.parametrize("task", ["constant", "observed", "delayed", "acted", "both"])
def test_probe_environments(task):
    """Two workers in turn, as main.work has them."""
    main, env = load("A3C").main, getattr(probes, task)()

    def check(shared):
        values = {
            "constant": {0.0: 1},
            "observed": {-1.0: -1, 1.0: 1},
            "delayed": {-1.0: 0.99, 1.0: 1},
            "acted": {0.0: 1},
        }
        for obs, value in values.get(task, {-1.0: 1, 1.0: 1}).items():
            assert shared.critic(torch.tensor([obs])).item() == pytest.approx(value, abs=0.05)
        for obs, action in {"acted": {0.0: 1}, "both": {-1.0: 0, 1.0: 1}}.get(task, {}).items():
            assert torch.softmax(shared.actor(torch.tensor([obs])), -1)[action] > 0.95

    shared = main.make_agent(env, 0, 16_000).share()
    workers = [(shared.worker(rank, 0), getattr(probes, task)()) for rank in range(2)]
    observations = [env.reset(seed=rank)[0] for rank, (_, env) in enumerate(workers)]
    for _ in range(16_000 // main.N_STEPS // 2):
        for rank, (agent, env) in enumerate(workers):
            for _ in range(main.N_STEPS):
                obs, action = observations[rank], agent.act(observations[rank])
                next_obs, reward, terminated, truncated, _ = env.step(action)
                agent.rollout.add(obs, action, reward, next_obs, terminated, terminated or truncated)
                observations[rank] = env.reset()[0] if terminated or truncated else next_obs
            agent.learn(shared)
        if probes.is_learned(check, shared):
            break
    check(shared)


@pytest.fixture
def running(tmp_path):
    """A training with two workers under way, in a session of its own as at a terminal; its workers' ids."""
    folder = tmp_path / "A3C"
    shutil.copytree(lineage.ROOT / "A3C", folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    main = folder / "main.py"
    main.write_text(main.read_text().replace("min(16, multiprocessing.cpu_count())", "2"))
    harness = folder / "harness.py"
    harness.write_text(harness.read_text().replace("SAVE_SECONDS = 30.0", "SAVE_SECONDS = 0.5"))
    command = [sys.executable, "main.py", "--steps", "100000000"]
    options = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **options, start_new_session=True)
    until(lambda: len(workers_of(process.pid)) == 2, 60)
    until(lambda: list(folder.glob("runs/*/events*")) and drawn(folder), 60)
    yield folder, process, workers_of(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def drawn(folder):
    """Whether points have been drawn: the workers are at work."""
    return any(b"speed/steps_per_second" in path.read_bytes() for path in folder.glob("runs/*/events*"))


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def workers_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_a_killed_worker_ends_the_run(running):
    folder, process, workers = running
    os.kill(workers[1], signal.SIGKILL)
    assert process.wait(10) == 2
    lines = [line for line in process.stderr.read().splitlines() if line.strip() and "steps/s" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("error: a worker died")
    until(lambda: not any(map(alive, workers)), 10)
    assert list(folder.glob("runs/*/checkpoint.pt"))


@linux
def test_ctrl_c_ends_all_and_the_run_can_go_on(running):
    folder, process, workers = running
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    until(lambda: not any(map(alive, workers)), 10)
    assert not process.stderr.read().count("Traceback")
    steps = int(process.stdout.read().split("saved at step ")[1].split(".")[0])
    resumed = subprocess.run(
        [sys.executable, "main.py", "--resume", "--steps", str(steps + 2000)],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr


@linux
def test_no_worker_outlives_the_first_process(running):
    _, process, workers = running
    process.kill()
    until(lambda: not any(map(alive, workers)), 10)
