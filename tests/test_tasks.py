"""Each folder on other tasks, by its constants alone: it trains, evaluates, goes on where it stopped, and is filmed."""

import itertools
import json
import os

import gymnasium as gym
import imageio
import lineage
import numpy as np
import pytest
import small
from changed import in_one_process, loaded, quick, root
from folders import TABULAR, importable, leaves
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

STEPS, MORE = 200, 100  # of a run, and after it was resumed
SHOWN = 12  # steps of an episode
TASKS = {  # the first with all its processes, where there are many
    "QLearning": ("FrozenLake-v1", "Taxi-v4", "CliffWalkingSlippery-v1"),
    "Sarsa": ("FrozenLake8x8-v1", "Taxi-v4", "CliffWalkingSlippery-v1"),
    "SarsaLambda": ("FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4"),
    "DeepQLearningNetwork(DQN)": ("CartPole-v1", "Acrobot-v1", "FrozenLake-v1"),
    "DuelingDQN": ("CartPole-v1", "MountainCar-v0", "Taxi-v4"),
    "DQNwithPER": ("Acrobot-v1", "MountainCar-v0", "FrozenLake8x8-v1"),
    "PolicyGradient(PG)": ("Acrobot-v1", "MountainCar-v0", "FrozenLake-v1"),
    "ActorCritic": ("Acrobot-v1", "MountainCar-v0", "FrozenLake8x8-v1"),
    "A2C": ("Acrobot-v1", "MountainCar-v0", "Taxi-v4"),
    "A3C": ("Acrobot-v1", "MountainCar-v0", "FrozenLake-v1"),
    "ACER": ("Acrobot-v1", "MountainCar-v0", "FrozenLake8x8-v1"),
    "TRPO": ("CartPole-v1", "MountainCarContinuous-v0", "InvertedPendulum-v5"),
    "PPO": ("HalfCheetah-v5", "Acrobot-v1", "BipedalWalker-v3"),
    "DPPO": ("MountainCarContinuous-v0", "CartPole-v1", "InvertedPendulum-v5"),
    "DeepDeterministicPolicyGradient": ("MountainCarContinuous-v0", "InvertedPendulum-v5", "BipedalWalker-v3"),
    "TD3": ("MountainCarContinuous-v0", "HalfCheetah-v5", "BipedalWalker-v3"),
    "SAC": ("MountainCarContinuous-v0", "InvertedPendulum-v5", "BipedalWalker-v3"),
    "DQNwithHER": ("BitFlipping-v0 4", "BitFlipping-v0 12", "Walk-v0"),
    "DDPGwithHER": ("FetchPush-v4", "FetchSlide-v4", "FetchPickAndPlace-v4"),
    "DIAYN": ("Pendulum-v1", "MountainCarContinuous-v0", "InvertedPendulum-v5"),
}
NAMED = {
    "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4",
    "CliffWalkingSlippery-v1", "Pendulum-v1", "MountainCarContinuous-v0", "InvertedPendulum-v5", "BipedalWalker-v3",
    "HalfCheetah-v5", "FetchPush-v4",
}  # fmt: skip
gym.register("Walk-v0", small.Steps, max_episode_steps=SHOWN)


@pytest.fixture(autouse=True)
def short_episodes(monkeypatch):
    """Episodes of all tasks end early in this process, and no screen is there."""
    for name in {task.split()[0] for tasks in TASKS.values() for task in tasks} & set(gym.registry):
        if gym.registry[name].max_episode_steps:
            monkeypatch.setattr(gym.registry[name], "max_episode_steps", SHOWN)
    for name, value in (("SDL_VIDEODRIVER", "dummy"), ("MUJOCO_GL", os.environ.get("MUJOCO_GL", "egl"))):
        monkeypatch.setenv(name, value)


def constants(folder, task):
    """What a learner changes to have this task."""
    task, *bits = task.split()
    changes = quick(folder, ENV_ID=task, TOTAL_STEPS=STEPS, SOLVED_SCORE=-1e9)
    if folder == "DQNwithHER":
        n = int(bits[0]) if bits else 0
        changes |= {"ENV_SETTINGS": {"n_bits": n, "max_episode_steps": n} if n else {}}
    return changes


def run(rooms, path, steps=None, resume=False):
    """As `python main.py` does; the run that has finished."""
    run = rooms.harness.Run(rooms.main, None, steps, path, resume)
    with root(rooms.harness.FOLDER.parent), importable(rooms.harness.FOLDER.name, rooms):
        rooms.main.train(run, run.kept["seed"], run.kept["total_steps"])
    run.finish()
    run.lock.release()
    return run


def counts(run):
    """What the agent counts, as it was saved: updates, actions, transitions. TRPO has nothing to count."""
    state = leaves(
        {name: part for name, part in run.kept["agent"].items() if "optimizer" not in name and name != "rng"}
    )
    return {name: value for name, value in state.items() if type(value) is int}


def test_every_task_that_is_named_is_some_folders():
    assert set(TASKS) == set(lineage.FOLDERS)
    assert {task for tasks in TASKS.values() for task in tasks} >= NAMED


@pytest.mark.parametrize(("folder", "task"), [(folder, task) for folder in TASKS for task in TASKS[folder]])
def test_on_another_task_a_folder_trains_evaluates_goes_on_and_is_filmed(folder, task, tmp_path, capsys):
    rooms = loaded(folder, tmp_path / "folder", constants(folder, task))
    rooms.harness.FINAL_EPISODES = 2
    if task != TASKS[folder][0]:
        in_one_process(rooms)
    path = tmp_path / "run"
    first = run(rooms, path)
    result = json.loads((path / "result.json").read_text())
    assert (result["env_id"], result["env_steps"], result["solved"]) == (task.split()[0], STEPS, True)
    assert np.isfinite(result["score"])
    assert first.evaluated == STEPS
    before = counts(first)
    assert all(before.values())
    assert bool(before) != (folder == "TRPO")

    if folder == "A3C":  # whose counts are the same with one worker
        in_one_process(rooms)
    second = run(rooms, path, STEPS + MORE, resume=True)
    after = counts(second)
    np.testing.assert_allclose([after[name] / before[name] for name in before], (STEPS + MORE) / STEPS, rtol=0.15)
    assert json.loads((path / "result.json").read_text())["env_steps"] == STEPS + MORE

    film = tmp_path / "film.gif"
    try:
        rooms.harness.show(rooms.main, path, film)
    except SystemExit:
        assert "if MuJoCo cannot draw" in capsys.readouterr().err
        assert "v5" in task or "Fetch" in task, "others need no OpenGL"
        return
    frames = imageio.mimread(film, memtest=False)
    assert len(frames) > 1
    assert any(not np.array_equal(frames[0], frame) for frame in frames)


GRIDS = {  # rows, columns, and cells that end a walk badly
    "CliffWalking-v1": (4, 12, 10),
    "CliffWalkingSlippery-v1": (4, 12, 10),
    "FrozenLake-v1": (4, 4, 4),
    "FrozenLake8x8-v1": (8, 8, 10),
}


@pytest.mark.parametrize("folder", TABULAR)
@pytest.mark.parametrize("task", [*GRIDS, "Taxi-v4"])
def test_a_table_is_drawn_on_any_grid_or_none(folder, task, tmp_path):
    rooms = loaded(folder, tmp_path, constants(folder, task))
    env = rooms.main.make_env()
    agent = rooms.main.make_agent(env, 0)
    agent.q.values[:] = np.random.default_rng(0).random(agent.q.values.shape)
    before = agent.q.values.copy()
    path = rooms.picture.greedy_path(agent, env)
    lines = rooms.picture.arrows(agent, env).splitlines()
    picture = rooms.picture.heat_map(agent, env)
    assert picture.ndim == 3
    assert picture.std() > 0
    np.testing.assert_array_equal(agent.q.values, before)
    if task == "Taxi-v4":
        assert lines == ["greedy path: " + " ".join(map(str, path))]
        return
    cells, (rows, columns, bad) = np.array([line.split() for line in lines]), GRIDS[task]
    assert cells.shape == (rows, columns)
    assert (cells[-1, -1], (cells == "#").sum()) == ("G", bad)
    left = {state for state, following in itertools.pairwise(path) if state != following}
    assert all(cells.flat[state] in "→←↓↑" for state in left)


def test_arrows_point_to_the_next_state(tmp_path):
    rooms = loaded("QLearning", tmp_path, {"ENV_ID": "FrozenLake-v1", "MAX_EPISODE_STEPS": 30})
    env = gym.make("FrozenLake-v1", is_slippery=False)
    agent = rooms.main.make_agent(env, 0)
    left, down, right = 0, 1, 2
    for state, action in {0: down, 4: down, 8: right, 9: down, 13: right, 14: right}.items():
        agent.q.values[state, action] = 1.0
    assert rooms.picture.greedy_path(agent, env) == [0, 4, 8, 9, 13, 14, 15]
    assert rooms.picture.arrows(agent, env).splitlines() == ["↓ · · ·", "↓ # · #", "→ ↓ · #", "# → → G"]
    assert left == 0


@pytest.mark.parametrize("folder", TABULAR)
def test_a_lake_is_learned_where_only_the_goal_is_rewarded(folder, tmp_path):
    name = small.register(lambda render_mode: FrozenLakeEnv(render_mode, is_slippery=False), 100)
    rooms = loaded(folder, tmp_path / "folder", {"ENV_ID": name, "TOTAL_STEPS": 10_000, "EVAL_EVERY": 100_000})
    agent = rooms.main.make_agent(rooms.main.make_env(), 0)
    agent.epsilon = 0.0
    chosen = np.bincount(agent.act(np.zeros(400, int)), minlength=4)
    assert (chosen > 50).all(), "nothing is known yet: all actions look the same"
    assert len({int(agent.act(0, explore=False)) for _ in range(10)}) == 1
    finished = run(rooms, tmp_path / "run")
    assert finished.kept["step"] == 10_000
    assert rooms.main.evaluate(finished.agent, 3, 0).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("folder", TABULAR)
def test_a_picture_that_cannot_be_drawn_costs_no_training(folder, tmp_path, monkeypatch):
    rooms = loaded(folder, tmp_path / "folder", constants(folder, "FrozenLake-v1"))

    def fail(*_):
        raise ZeroDivisionError

    for name in ("heat_map", "arrows"):
        with monkeypatch.context() as patch:
            patch.setattr(rooms.picture, name, fail)
            started = rooms.harness.Run(rooms.main, 0, None, tmp_path / name)
            with pytest.raises(ZeroDivisionError):
                rooms.main.train(started, 0, STEPS)
            started.lock.release()
        kept = rooms.checkpoint.load(tmp_path / name)
        assert (kept["step"], kept["agent"]["updates"]) == (STEPS, STEPS)
