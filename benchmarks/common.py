"""What the benchmarks share: runs of main.py side by side, each in a process of its own, and what machine this is."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "tests"))

import lineage  # noqa: E402

FOLDERS, PARENT = lineage.FOLDERS, lineage.PARENT


def run(folder: str, path: Path, *arguments: str, main: str = "main.py") -> dict:
    """Train in the run folder `path`; result.json with the seconds of the whole command. RuntimeError if it fails."""
    begin = time.perf_counter()
    command = [sys.executable, main, "--run", str(path), *arguments]
    process = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"{folder}/{main} {path}: {process.stderr.strip()}")
    return json.loads((path / "result.json").read_text()) | {"seconds": round(seconds, 1)}


def run_once(folder: str, path: Path, seed: int, *arguments: str) -> dict:
    """As `run`, but a run that is in `path` already is read, and one that was stopped there goes on."""
    kept = path / "timed.json"
    if not kept.exists():
        begun = ("--resume",) if (path / "checkpoint.pt").exists() else ("--seed", str(seed))
        result = run(folder, path, *begun, *arguments) | ({"seconds": None} if "--resume" in begun else {})
        kept.write_text(json.dumps(result))
    return json.loads(kept.read_text())


def run_all(
    tasks: list[tuple[str, int]], jobs: int, *arguments: str, runs: Path | None = None
) -> Iterator[tuple[str, int, dict, dict]]:
    """Run all (folder, seed), `jobs` at a time; yields folder, seed, result and curves {tag: [[step, value], ...]}.

    With `runs` they stay in runs/FOLDER/SEED, so that the same call goes on where it was stopped.
    """
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(jobs) as pool:
        paths = [(runs.resolve() if runs else Path(scratch)) / folder / str(seed) for folder, seed in tasks]
        waiting = [
            pool.submit(run_once, folder, path, seed, *arguments)
            for (folder, seed), path in zip(tasks, paths, strict=True)
        ]
        for (folder, seed), path, result in zip(tasks, paths, waiting, strict=True):
            yield folder, seed, result.result(), curves(path)


def curves(path: Path) -> dict[str, list]:
    """The curves of returns, successes and scores in a run's event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path)).Reload()
    tags = [tag for tag in ("episode/return", "episode/success", "eval/score") if tag in events.Tags()["scalars"]]
    return {tag: [[point.step, round(point.value, 2)] for point in events.Scalars(tag)] for tag in tags}


def machine() -> str:
    """The processor and the versions that a figure was measured with."""
    import os

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}"
