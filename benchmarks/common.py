"""What the benchmarks share: runs of main.py side by side, each in a process of its own, and the tidy data they leave.

Of each folder there is one file, results/FOLDER.csv, with a row for each number that was measured: see Row. The variant
MAIN is the folder as it is. Tags are those of the curves (`episode/return` and the like are means over a fiftieth of
the steps), and of each run `score`, `solved` (1 or 0), `seconds` of the whole command while others ran beside it, and
`seconds_alone`.
"""

import csv
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "tests"))

import lineage  # noqa: E402

FOLDERS, PARENT = lineage.FOLDERS, lineage.PARENT
MAIN = "main.py"
POINTS = 50  # of a curve while exploring


class Row(NamedTuple):
    """One number. `seconds`: since the run began."""

    folder: str
    variant: str
    seed: int
    env_steps: int
    seconds: float | None
    tag: str
    value: float
    machine: str


def read(folder: str, variant: str = MAIN) -> list[Row]:
    """All rows of one variant; none if it was not measured."""
    path = RESULTS / f"{folder}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [Row(**row) for row in csv.DictReader(file)]
    return [
        row._replace(seed=int(row.seed), env_steps=int(row.env_steps), value=float(row.value))._replace(
            seconds=float(row.seconds) if row.seconds else None
        )
        for row in rows
        if row.variant == variant
    ]


def variants(folder: str) -> list[str]:
    """The names of all variants that were measured, in the order of the file."""
    path = RESULTS / f"{folder}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(dict.fromkeys(row["variant"] for row in csv.DictReader(file)))


def write(folder: str, variant: str, rows: list[Row]) -> None:
    """Put these rows in place of all that there are of the variant."""
    kept = {name: read(folder, name) for name in variants(folder)} | {variant: rows}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{folder}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for of in kept.values():
            writer.writerows(row._replace(value=f"{row.value:.7g}") for row in of)


def bar(folder: str) -> float:
    """The score at which the folder's task counts as learned."""
    return float(re.search(r"^SOLVED_SCORE = (\S+)", (ROOT / folder / "main.py").read_text(), re.MULTILINE)[1])


def run(folder: str, path: Path, *arguments: str, main: str = MAIN) -> dict:
    """Train in the run folder `path`; result.json with the seconds of the whole command. RuntimeError if it fails."""
    begin = time.perf_counter()
    command = [sys.executable, main, "--run", str(path), *arguments]
    process = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"{folder}/{main} {path}: {process.stderr.strip()}")
    return json.loads((path / "result.json").read_text()) | {"seconds": round(seconds, 1)}


def run_once(folder: str, path: Path, seed: int, *arguments: str, main: str = MAIN) -> dict:
    """As `run`, but a run that is in `path` already is read, and one that was stopped there goes on."""
    kept = path / "timed.json"
    if not kept.exists():
        begun = ("--resume",) if (path / "checkpoint.pt").exists() else ("--seed", str(seed))
        result = run(folder, path, *begun, *arguments, main=main) | ({"seconds": None} if "--resume" in begun else {})
        kept.write_text(json.dumps(result))
    return json.loads(kept.read_text())


def run_all(
    tasks: list[tuple[str, int]], jobs: int, *arguments: str, runs: Path | None = None
) -> Iterator[tuple[str, int, dict, Path]]:
    """Run all (folder, seed), `jobs` at a time; yields folder, seed, result and the run's folder.

    With `runs` they stay in runs/FOLDER/SEED, so that the same call goes on where it was stopped.
    """
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(jobs) as pool:
        paths = [(runs.resolve() if runs else Path(scratch)) / folder / str(seed) for folder, seed in tasks]
        waiting = [
            pool.submit(run_once, folder, path, seed, *arguments)
            for (folder, seed), path in zip(tasks, paths, strict=True)
        ]
        for (folder, seed), path, result in zip(tasks, paths, waiting, strict=True):
            yield folder, seed, result.result(), path


def points(path: Path, *tags: str) -> dict[str, list[tuple[float, int, float]]]:
    """Points of curves in a run's event file: seconds since the run began, environment step, value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    begin, there = events.FirstEventTimestamp(), events.Tags()["scalars"]
    return {
        tag: [(round(p.wall_time - begin, 2), p.step, p.value) for p in events.Scalars(tag)]
        for tag in tags
        if tag in there
    }


def rows_of(folder: str, variant: str, seed: int, result: dict, path: Path) -> list[Row]:
    """What one run leaves to be kept."""
    machine_, rows = machine(), []
    for tag, curve in points(path, "eval/score", "episode/return", "episode/success").items():
        parts = {i: [point] for i, point in enumerate(curve)}
        if tag != "eval/score":
            parts = {}
            for point in curve:
                parts.setdefault(POINTS * point[1] // (result["env_steps"] + 1), []).append(point)
        for part in parts.values():
            value = sum(value for _, _, value in part) / len(part)
            seconds = part[-1][0] if result["seconds"] is not None else None  # None: the run was stopped meanwhile
            rows.append(Row(folder, variant, seed, part[-1][1], seconds, tag, value, machine_))
    for tag in ("score", "solved", "seconds"):
        if result[tag] is not None:
            rows.append(
                Row(folder, variant, seed, result["env_steps"], result["seconds"], tag, float(result[tag]), machine_)
            )
    return rows


def machine() -> str:
    """The processor and the versions that a figure was measured with."""
    import os

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{cpu.replace('(R)', '')}, {os.cpu_count()} cores, Python {platform.python_version()}"
