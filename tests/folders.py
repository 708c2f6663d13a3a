"""Loads the modules of one folder at a time: every folder has an agent.py, and they cannot all be `agent` at once."""

import contextlib
import importlib
import sys
from types import ModuleType, SimpleNamespace

import lineage

ROOMS = (
    "startup",
    "checkpoint",
    "spaces",
    "harness",
    "model",
    "replay",
    "noise",
    "env",
    "picture",
    "workers",
    "agent",
    "main",
)


def load(folder: str) -> SimpleNamespace:
    """The modules of the folder: load("Sarsa").agent.Agent; None for a room that it has not."""
    path = str(lineage.ROOT / folder)
    for room in ROOMS:
        sys.modules.pop(room, None)
    sys.path.insert(0, path)
    try:
        importlib.invalidate_caches()
        rooms: dict[str, ModuleType | None] = {
            room: importlib.import_module(room) if (lineage.ROOT / folder / f"{room}.py").exists() else None
            for room in ROOMS
        }
    finally:
        sys.path.remove(path)
        for room in ROOMS:
            sys.modules.pop(room, None)
    return SimpleNamespace(**rooms)


@contextlib.contextmanager
def importable(folder: str, rooms: SimpleNamespace):
    """For as long as worker processes are started: they find the folder's functions by module and name."""
    path, names = str(lineage.ROOT / folder), [room for room in ROOMS if getattr(rooms, room)]
    sys.path.insert(0, path)
    sys.modules.update({room: getattr(rooms, room) for room in names})
    try:
        yield
    finally:
        sys.path.remove(path)
        for room in names:
            sys.modules.pop(room, None)


def start_run(rooms: SimpleNamespace, path, steps: int, seed: int = 0, resume: bool = False):
    """A run of the folder's main.py, in a folder of the test's own."""
    return rooms.harness.Run(rooms.main, None if resume else seed, steps, path, resume)


def train(rooms: SimpleNamespace, path, steps: int, seed: int = 0, resume: bool = False):
    """Train for `steps` steps in `path` and save; the agent."""
    run = start_run(rooms, path, steps, seed, resume)
    with importable(rooms.harness.FOLDER.name, rooms):
        agent = rooms.main.train(run, run.kept["seed"], run.kept["total_steps"])
    run.save()
    run.lock.release()
    return agent


def leaves(state, name: str = "") -> dict:
    """All values of a nested state, each under its path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in leaves(value, f"{name}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, value in enumerate(state) for k, v in leaves(value, f"{name}.{i}").items()}
    return {name: state}


TABULAR = [f for f in ("QLearning", "Sarsa", "SarsaLambda") if f in lineage.FOLDERS]
DEEP = [f for f in lineage.FOLDERS if f not in TABULAR]
WITHOUT_LOCKS = [f for f in ("A3C",) if f in lineage.FOLDERS]  # whose runs differ from one time to the next
Q_NETWORKS = ["DeepQLearningNetwork(DQN)", "DuelingDQN", "DQNwithPER", "DQNwithHER"]
Q_NETWORKS = [f for f in Q_NETWORKS if f in lineage.FOLDERS]
WITH_GOALS = [f for f in ("DQNwithHER", "DDPGwithHER") if f in lineage.FOLDERS]
CONTINUOUS = [f for f in ("DeepDeterministicPolicyGradient", "TD3", "SAC") if f in lineage.FOLDERS]
