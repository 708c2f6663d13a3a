"""A folder as a learner leaves it who has changed constants in main.py, and nothing else."""

import contextlib
import queue
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import lineage
from folders import load

ROOT = lineage.ROOT
QUICK = {  # constants with which a run is short, whatever it is that learns
    "HIDDEN": 8, "LEARNING_STARTS": 20, "TRAIN_EVERY": 4, "BATCH_SIZE": 8, "CAPACITY": 500, "UPDATE_STEPS": 10,
    "N_ENVS": 2, "N_STEPS": 5, "N_EPOCHS": 2, "MINIBATCH_SIZE": 5, "REPLAY_RATIO": 1, "N_SKILLS": 3,
    "SHOWN_EPISODES": 2, "EVAL_EVERY": 100, "EVAL_EPISODES": 2, "MAX_EPISODE_STEPS": 30,
}  # fmt: skip


def constants_of(folder: str) -> set[str]:
    return set(re.findall(r"^([A-Z_]+) = ", (ROOT / folder / "main.py").read_text(), re.MULTILINE))


def quick(folder: str, **constants: object) -> dict[str, object]:
    """These constants, and of the quick ones those that the folder has."""
    return {name: value for name, value in QUICK.items() if name in constants_of(folder)} | constants


def copy(folder: str, path: Path, constants: dict[str, object], also: str = "") -> Path:
    """The folder's files in a new folder in `path`, with these constants; `also` are lines after main.py's imports."""
    new = path / folder
    shutil.copytree(ROOT / folder, new, ignore=shutil.ignore_patterns("runs", "__pycache__"), dirs_exist_ok=True)
    text = (new / "main.py").read_text()
    for name, value in constants.items():
        text, found = re.subn(rf"^{name} = .*$", lambda _, line=f"{name} = {value!r}": line, text, flags=re.MULTILINE)
        assert found == 1, f"{folder}/main.py has no constant {name}"
    (new / "main.py").write_text(text.replace("\nENV_ID = ", f"\n{also}\nENV_ID = "))
    return new


@contextlib.contextmanager
def root(path: Path) -> Iterator[None]:
    """Folders are loaded from `path` meanwhile."""
    lineage.ROOT = path
    try:
        yield
    finally:
        lineage.ROOT = ROOT


def in_one_process(rooms: SimpleNamespace) -> SimpleNamespace:
    """The same, but A3C and DPPO start no other processes: they have one worker, and that is here."""
    if hasattr(rooms.main.train, "__wrapped__"):
        rooms.main.train = rooms.main.train.__wrapped__
    if hasattr(rooms.main, "work"):
        rooms.workers.reports = reports
    return rooms


class Enough(Exception):
    """Nobody listens any more."""


def reports(work: Callable, n_workers: int, *arguments: object) -> Iterator[dict[str, float]]:
    """In place of A3C's: one worker, in a thread, which waits until its report is taken."""
    said, more = queue.Queue(), queue.Queue()

    def report(values: dict[str, float]) -> None:
        said.put(values)
        if not more.get():
            raise Enough

    def begin() -> None:
        try:
            work(0, report, *arguments)
        except Exception as error:
            said.put(error)

    worker = threading.Thread(target=begin, daemon=True)
    worker.start()
    try:
        while not isinstance(values := said.get(), Exception):
            yield values
            more.put(True)
        raise values
    finally:
        more.put(False)
        worker.join()


def loaded(folder: str, path: Path, constants: dict[str, object], also: str = "") -> SimpleNamespace:
    """The modules of such a copy."""
    copy(folder, path, constants, also)
    with root(path):
        return load(folder)
