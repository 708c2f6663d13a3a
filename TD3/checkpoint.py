"""What a run leaves on the disk, so that nothing is lost. Nothing of learning, and the same file in every folder."""

import contextlib
import itertools
import os
import time
import zipfile
from pathlib import Path

from startup import FOLDER, refuse

import filelock
import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

KINDS = {"algorithm": str, "env_id": str, "seed": int, "total_steps": int, "settings": dict, "step": int, "agent": dict}
KINDS |= {"train_seconds": float, "best_score": float, "best": dict, "evaluating": dict}
MEMORY = {"replay", "rollout"}  # parts of agents that may be large, and that take no part in acting
FOLDER_FLAG = 0x10  # of an archive's entry, which torch then does not read
torch.serialization.add_safe_globals([np._core.multiarray._reconstruct, np.ndarray, np.dtype, bytes])
torch.serialization.add_safe_globals(list({type(np.dtype(code)) for code in "?bBhHiIlLqQfd"}))


def new_folder(path: Path | None, seed: int) -> Path:
    """Make `path`, or else a folder in runs/ that no other process has."""
    if path:
        path.mkdir(parents=True, exist_ok=True)
        return path
    runs = FOLDER / "runs"
    runs.mkdir(exist_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    for path in itertools.chain([runs / name], (runs / f"{name}-{i}" for i in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("one of them is free")


def settings_of(task) -> dict[str, bool | int | float | str]:
    """The constants of main.py; what is no plain number as text."""
    constants = {name: value for name, value in vars(task).items() if name.isupper()}
    plain = {
        k: v for k, v in constants.items() if isinstance(v, int | str) or (isinstance(v, float) and abs(v) < np.inf)
    }
    return {name: plain.get(name, repr(value)) for name, value in constants.items()}


def changes(before: dict, now: dict, path: Path) -> list[str]:
    """Settings that are no longer as they were for the run in `path`, a line each. Some can have no other value."""
    lines = [f"{name} {before.get(name)!r} -> {value!r}" for name, value in now.items() if before.get(name) != value]
    for line in lines:
        if line.startswith(("ENV_ID ", "SEED ")):
            refuse(f"the run in {path} had another setting in main.py: {line}; change it back, or begin a new run")
    return lines


def find(path: Path | None) -> Path:
    """The run folder `path`, or else the newest in runs/; there is a checkpoint in it."""
    files = [path / "checkpoint.pt"] if path else sorted(FOLDER.glob("runs/*/checkpoint.pt"))
    if not files:
        refuse(f"no trained agent in {FOLDER / 'runs'} yet; train one: python main.py")
    if not files[-1].is_file():
        refuse(f"{files[-1]} is not there")
    return files[-1].parent


def lock(path: Path) -> filelock.FileLock:
    """Keep all other processes from training the run in `path`, until this one ends, however it does."""
    held = filelock.FileLock(path / ".lock")
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        refuse(f"the run in {path} is being trained by another process")
    return held


def load(path: Path) -> dict:
    """What the checkpoint in `path` holds. Every byte is checked, and nothing in it is executed."""
    file = path / "checkpoint.pt"
    try:
        with zipfile.ZipFile(file) as archive:  # torch does not look at the checksums
            if archive.testzip() or any(entry.external_attr & FOLDER_FLAG for entry in archive.infolist()):
                raise ValueError("a checksum is wrong")
        kept = torch.load(file, weights_only=True)
        algorithm = kept["algorithm"]
        if not all(isinstance(kept[name], kind) for name, kind in KINDS.items()) or not kept["agent"]:
            raise ValueError("other entries than this version has")
        if min(kept["seed"], kept["step"]) < 0 or not kept["evaluating"].keys() <= {"keep_best"}:
            raise ValueError("entries that no run has")
        if kept["best"].keys() not in (set(), kept["agent"].keys() - MEMORY):
            raise ValueError("an agent of other parts")
    except Exception:  # there are many ways to say that a file cannot be read
        refuse(f"{file} is damaged, or no checkpoint of this version")
    if algorithm != FOLDER.name:
        refuse(f"{file} is of {algorithm}, not of {FOLDER.name}")
    return kept


def fill(agent, state: dict, path: Path, changed: list[str]) -> None:
    """Give `agent` what a checkpoint holds; what main.py sets for its optimizers stays. `changed`: other settings."""
    optimizers = [part for part in vars(agent).values() if isinstance(part, torch.optim.Optimizer)]
    groups = [{k: v for k, v in optimizer.param_groups[0].items() if k != "params"} for optimizer in optimizers]
    kinds = kinds_of(agent.state_dict())
    try:
        agent.load_state_dict(state)  # NumPy and Python take much without a word, and Adam takes half of its statistics
        if kinds_of(state) != kinds or not same(agent.state_dict(), state):
            raise ValueError("other shapes or kinds of numbers")
        if not all(map(complete, optimizers)):
            raise ValueError("an optimizer has other statistics")
    except Exception as error:
        settings = f"main.py ({', '.join(changed)})" if changed else "main.py"
        refuse(f"{path} does not fit the settings in {settings}: {error!s:.200}")
    for optimizer, group in zip(optimizers, groups, strict=True):
        optimizer.param_groups[0].update(group)


def kinds_of(state: object) -> object:
    """The types of all entries, but for the optimizers', which have statistics only once they were used."""
    if isinstance(state, dict):
        return {name: kinds_of(part) for name, part in state.items() if "optimizer" not in str(name)}
    return list(map(kinds_of, state)) if isinstance(state, list) else type(state)


def complete(optimizer: torch.optim.Optimizer) -> bool:
    """Whether Adam has its statistics for each of its parameters, or for none of them yet."""
    parameters = optimizer.param_groups[0]["params"]
    wanted = [{"step": (), "exp_avg": p.shape, "exp_avg_sq": p.shape} for p in parameters]
    found = [{k: v.shape for k, v in optimizer.state[p].items()} for p in parameters if p in optimizer.state]
    return found in ([], wanted)


def same(a: object, b: object) -> bool:
    """Whether two states have the same entries, of the same kinds and shapes, to the last number."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor | np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return a == b


def try_to_write(file: Path) -> None:
    """Refuse a file that cannot be written, before it took any work; nothing is left behind."""
    try:
        if file.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        (beside := file.with_name(f".{os.getpid()}.tmp")).touch()
        beside.unlink()
    except OSError as error:
        refuse(f"{file} cannot be written: {error.strerror}")


def write(kept: dict, path: Path, patience: float) -> None:
    """Write a checkpoint if the agent is sound: beside the last one, then over it, so that there is always one.

    Windows lets no file be replaced while another program reads it: tries for as many seconds as `patience` has. Raises
    FloatingPointError at numbers that are not finite, and OSError if it cannot be written.
    """
    for name, part in kept["agent"].items():
        for leaf in tree_leaves(part):
            numbers = torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf
            if isinstance(numbers, Tensor) and numbers.is_floating_point() and not numbers.isfinite().all():
                raise FloatingPointError(f"a number in the agent's {name} is not finite")
    new = path / "checkpoint.pt.tmp"
    try:
        with new.open("wb") as file:
            torch.save(kept, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch says only that less was written than it wanted to
        with contextlib.suppress(OSError):
            new.unlink()
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
    last = time.monotonic() + patience
    while True:
        try:
            return os.replace(new, path / "checkpoint.pt")
        except PermissionError:
            if time.monotonic() > last:
                raise
            time.sleep(0.05)
