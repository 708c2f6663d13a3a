"""DPPO: the same update whatever the number of workers, their joining on one machine and on several, their ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import lineage
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from folders import importable, load, start_run
from test_a3c import alive, linux, until
from test_ppo import robot

SETTINGS = {
    "hidden": 8, "log_std": 0.0, "learning_rate": 1e-3, "learning_steps": 600, "gamma": 0.9, "gae_lambda": 0.8,
    "clip": 0.2, "entropy_coef": 0.01, "max_grad_norm": 0.5, "n_epochs": 3, "n_steps": 16, "seed": 0,
}  # fmt: skip
BOX = (-np.ones(2, np.float32), np.ones(2, np.float32))


def fill(agent, envs, seed, action=None):
    """A rollout of random numbers, the same for each environment whoever has it; returns the actions."""
    rng = np.random.default_rng(seed)
    for _ in range(16):
        obs, next_obs = rng.normal(size=(2, 4, 5)).astype(np.float32)
        action, reward = rng.normal(size=(4, 2)), rng.normal(size=4) * [1, 2, 3, 4]
        terminated, truncated = rng.random((2, 4)) < 0.1
        step = (obs, action, reward, next_obs, terminated, terminated | truncated)
        agent.rollout.add(*(field[envs] for field in step))


def weights(agent):
    return [p.detach().clone() for p in agent.parameters]


def work(rank, n_workers, path, kind):
    """What one of the workers of a test does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=n_workers)
    n_envs, minibatch_size = 4 // n_workers, {"whole": 64 // n_workers, "parts": 8}[kind]
    agent = load("DPPO").agent.Agent(5, BOX, **SETTINGS, n_envs=n_envs, minibatch_size=minibatch_size)
    drawn = agent.act(np.zeros((20, 5), np.float32))
    envs, history = slice(rank * n_envs, (rank + 1) * n_envs), [weights(agent)]
    for seed in range(3 if kind == "whole" else 50):
        fill(agent, envs, seed)
        agent.learn()
        history.append(weights(agent))
    lr = agent.optimizer.param_groups[0]["lr"]
    torch.save({"history": history, "drawn": drawn, "lr": lr}, path / f"{rank}.pt")
    dist.destroy_process_group()


def run_workers(n_workers, path, kind):
    torch.multiprocessing.spawn(work, (n_workers, path, kind), n_workers)
    return [torch.load(path / f"{rank}.pt", weights_only=False) for rank in range(n_workers)]


@pytest.mark.parametrize("n_workers", [2, 4])
def test_workers_compute_the_update_that_one_computes_from_all_environments(n_workers, tmp_path):
    """Each with its share of four environments, and PPO with all of them."""
    found = run_workers(n_workers, tmp_path, "whole")
    settings = SETTINGS | {"learning_steps": 600 // n_workers}
    alone = load("PPO").agent.Agent(5, BOX, **settings, n_envs=4, minibatch_size=64)
    history = [weights(alone)]
    for seed in range(3):
        fill(alone, slice(None), seed)
        alone.learn()
        history.append(weights(alone))
    for worker in found:
        assert worker["lr"] == pytest.approx(alone.optimizer.param_groups[0]["lr"])
        for mine, expected in zip(worker["history"], history, strict=True):
            for p, q in zip(mine, expected, strict=True):
                torch.testing.assert_close(p, q, rtol=0, atol=1e-5)
    assert (history[0][0] - history[-1][0]).abs().max() > 1e-3


def test_all_workers_hold_the_same_weights_after_every_update(tmp_path):
    first, second = run_workers(2, tmp_path, "parts")
    for mine, other in zip(first["history"], second["history"], strict=True):
        assert all(torch.equal(p, q) for p, q in zip(mine, other, strict=True))
    assert len(first["history"]) == 51
    assert not np.array_equal(first["drawn"], second["drawn"]), "each explores on its own"


def test_one_worker_alone_is_ppo():
    agents = [load(folder).agent.Agent(5, BOX, **SETTINGS, n_envs=4, minibatch_size=16) for folder in ("PPO", "DPPO")]
    for seed in range(5):
        for agent in agents:
            fill(agent, slice(None), seed)
        drawn = [agent.learn() for agent in agents]
        assert drawn[0] == pytest.approx(drawn[1], abs=1e-4)
    for p, q in zip(*map(weights, agents), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)


def scale(rank, path):
    """What one of two workers does: its share of the environments, in main_mujoco.py's scale."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
    torch.save(learned(slice(2 * rank, 2 * rank + 2), 2), path / f"{rank}.pt")
    dist.destroy_process_group()


def learned(envs, n_envs):
    """The sums of the statistics after each of three rollouts."""
    agent, sums = robot("DPPO").main.Agent(5, BOX, **SETTINGS, n_envs=n_envs, minibatch_size=8), []
    for seed in range(3):
        fill(agent, envs, seed)
        agent.learn()
        sums.append(agent.sums)
    return sums


def test_all_workers_have_the_scale_of_all_steps(tmp_path):
    torch.multiprocessing.spawn(scale, (tmp_path,), 2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    for mine, other, alone in zip(first, second, learned(slice(None), 4), strict=True):
        assert np.array_equal(mine, other)
        np.testing.assert_allclose(mine / mine[0], alone / alone[0], rtol=1e-4, atol=1e-5)


def test_workers_on_a_robot_are_as_many_as_main_mujoco_says_and_run_it(monkeypatch):
    rooms, joined, started = robot("DPPO", ("main.N_WORKERS = 2", "main.N_WORKERS = 3")), [], []
    monkeypatch.setattr(rooms.workers, "connect", lambda n_workers, _: joined.append(n_workers) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rooms.main.train()
    assert joined == [3]
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(Path(command[-1]).name))
    rooms.workers.start(1, 3, 0)
    load("DPPO").workers.start(1, 3, 0)
    assert started == ["main_mujoco.py", "main.py"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell")
def test_a_training_leaves_the_process_on_the_cores_it_had(tmp_path):
    rooms, cores = load("DPPO"), os.sched_getaffinity(0)
    with importable("DPPO", rooms):
        rooms.main.train(start_run(rooms, tmp_path, 320), 0, 320)
    assert os.sched_getaffinity(0) == cores
    assert not dist.is_initialized()


def test_random_numbers_go_on_differently_in_each_worker():
    agent = load("DPPO").agent.Agent(5, BOX, **SETTINGS, n_envs=4, minibatch_size=16)
    state, obs, drawn = agent.state_dict(), np.zeros((20, 5), np.float32), []
    for rank in range(3):
        agent.rank = rank
        agent.load_state_dict(state)
        drawn.append(agent.act(obs).tolist())
    agent.rank = 0
    agent.load_state_dict(state)
    assert agent.act(obs).tolist() == drawn[0]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_each_worker_has_environments_of_its_own(tmp_path, monkeypatch):
    seeds = []
    for rank in range(2):
        rooms = load("DPPO")
        monkeypatch.setattr(rooms.workers, "rank", lambda rank=rank: rank)
        make_envs = rooms.main.make_envs

        def watched(make_envs=make_envs):
            envs = make_envs()
            reset = envs.reset
            monkeypatch.setattr(envs, "reset", lambda seed: seeds.append(range(seed, seed + 16)) or reset(seed=seed))
            return envs

        monkeypatch.setattr(rooms.main, "make_envs", watched)
        rooms.main.train.__wrapped__(start_run(rooms, tmp_path / str(rank), 160), 5, 160)
    assert seeds[0] == range(5, 21)
    assert not set(seeds[0]) & set(seeds[1])


def test_restarted_workers_find_nothing_of_the_dead_ones(monkeypatch):
    """The store outlives a restart, and the addresses in it are then those of processes that are gone."""
    workers, store, joined = load("DPPO").workers, dist.HashStore(), []
    monkeypatch.setattr(workers, "LAUNCHED", True)
    monkeypatch.setattr(dist, "rendezvous", lambda *_, **__: iter([(store, 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *_, store, **__: joined.append(store))
    for restarts in range(2):
        monkeypatch.setattr(workers, "RESTARTS", restarts)
        workers.connect(2, [])
        joined[restarts].set("address", str(restarts))
    assert [other.get("address") for other in joined] == [b"0", b"1"]


@pytest.fixture
def folder(tmp_path):
    """A copy with short rollouts that saves every second."""
    copy = tmp_path / "DPPO"
    shutil.copytree(lineage.ROOT / "DPPO", copy, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for file, old, new in [
        ("main.py", "N_STEPS = 256", "N_STEPS = 32"),
        ("main.py", "N_EPOCHS = 8", "N_EPOCHS = 1"),
        ("main.py", "EVAL_EPISODES = 50", "EVAL_EPISODES = 2"),
        ("harness.py", "SAVE_SECONDS = 30.0", "SAVE_SECONDS = 1.0"),
        ("harness.py", "FINAL_EPISODES = 100", "FINAL_EPISODES = 2"),
    ]:
        path = copy / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    return copy


def start(folder, *arguments):
    options = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, arguments)], **options, start_new_session=True)


def torchrun(folder, *arguments, port, nodes=1, node=0, restarts=0):
    launch = ["-m", "torch.distributed.run", f"--nnodes={nodes}", f"--node-rank={node}", "--nproc-per-node=2"]
    launch += ["--master-addr=127.0.0.1", f"--master-port={port}", f"--max-restarts={restarts}"]
    return start(folder, *launch, "main.py", *arguments)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def workers_of(pid):
    """The other workers, by the rank that they were given."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{child}/environ").read_text().split("\0")
            if b"main.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                found[int(next(entry for entry in environ if entry.startswith("RANK="))[5:])] = int(child)
    return found


def saved_step(folder):
    """The step of the checkpoint in the only run's folder, 0 if there is none."""
    paths = list(folder.glob("runs/*/checkpoint.pt"))
    return torch.load(paths[0], weights_only=False)["step"] if paths else 0


@contextlib.contextmanager
def ended(process):
    """Whatever happens inside, no process of the session is left behind."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            left = workers_of(process.pid).values()  # torchrun's are in sessions of their own
            os.killpg(process.pid, signal.SIGKILL)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)


@linux
def test_a_killed_worker_ends_the_run(folder):
    process = start(folder, "main.py")
    with ended(process):
        until(lambda: saved_step(folder) > 0, 60)
        workers = workers_of(process.pid)
        assert list(workers) == [1]
        os.kill(workers[1], signal.SIGKILL)
        assert process.wait(10) == 2
        lines = [line for line in process.stderr.read().splitlines() if line.strip() and "steps/s" not in line]
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: a worker died")
        assert not alive(workers[1])


@linux
def test_ctrl_c_ends_all_and_the_run_can_go_on(folder):
    process = start(folder, "main.py")
    with ended(process):
        until(lambda: saved_step(folder) > 0, 60)
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        until(lambda: not any(map(alive, workers.values())), 10)
        assert "Traceback" not in process.stderr.read()
        steps = int(process.stdout.read().split("saved at step ")[1].split(".")[0])
    resumed = start(folder, "main.py", "--resume", "--steps", steps + 4096)
    with ended(resumed):
        assert resumed.wait(120) == 0, resumed.stderr.read()
    assert saved_step(folder) == steps + 4096


@linux
def test_no_worker_outlives_the_first(folder):
    process = start(folder, "main.py")
    with ended(process):
        until(lambda: saved_step(folder) > 0, 60)
        workers = workers_of(process.pid)
        process.kill()
        until(lambda: not any(map(alive, workers.values())), 10)


@linux
def test_a_worker_that_cannot_start_ends_the_run(folder):
    main = folder / "main.py"
    main.write_text(main.read_text().replace("ENV_ID =", "import os; assert os.environ.get('RANK') != '1'\nENV_ID ="))
    process = start(folder, "main.py")
    with ended(process):
        assert process.wait(60) == 2
        assert "error: a worker died as it started" in process.stderr.read()


@linux
def test_under_torchrun_the_job_goes_on_after_a_worker_was_killed(folder):
    process = torchrun(folder, "--steps", 30_720, port=free_port(), restarts=1)
    with ended(process):
        until(lambda: saved_step(folder) > 0, 90)
        os.kill(workers_of(process.pid)[1], signal.SIGKILL)
        stopped = saved_step(folder)
        assert process.wait(180) == 0, process.stderr.read()
    (run,) = (folder / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["env_steps"] == 30_720
    again = [int(path.name.split(".")[-2]) for path in run.glob("events*")]
    assert len(again) == 2
    assert max(again) >= stopped > 0, "from the checkpoint, not from the start"


@linux
def test_two_groups_of_workers_train_together(folder):
    """As on two machines, on the loopback address."""
    port, other = free_port(), folder.parent / "other" / "DPPO"
    shutil.copytree(folder, other)
    nodes = [torchrun(f, "--steps", 10_240, port=port, nodes=2, node=i) for i, f in enumerate((folder, other))]
    with ended(nodes[0]), ended(nodes[1]):
        assert [node.wait(240) for node in nodes] == [0, 0], [node.stderr.read() for node in nodes]
    (run,) = (folder / "runs").iterdir()
    assert not (other / "runs").exists(), "the first worker alone draws and saves"
    assert json.loads((run / "result.json").read_text())["env_steps"] == 10_240
    updates = torch.load(run / "checkpoint.pt", weights_only=False)["agent"]["updates"]
    assert updates == 10_240 // (4 * 16 * 32) * 4, "updates from four workers' rollouts"
