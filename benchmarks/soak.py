"""Train each folder for many minutes: does its memory grow, do its files multiply, does it become slower?

    python benchmarks/soak.py [FOLDER ...] [--minutes 20] [--jobs 2]

The folders default to all with a network. Each trains for steps without end and is then stopped with Ctrl-C. Every five
seconds the resident memory of the run's processes and their processor time are read. The speed is in steps per second
of processor time, because it does not depend on what else the machine does. `start` is the fifth of the time after the
first fifth, when the replay memory is full wherever it fits into that; `end` is the last fifth. Linux only. Writes
benchmarks/results/soak.json.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from common import FOLDERS, RESULTS, ROOT, machine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [one for child in children.read_text().split() for one in family(int(child))]
    return found


def used(pid: int) -> tuple[float, float]:
    """Of a process and all that it has started: memory in MiB (what they share counts once for each), CPU seconds."""
    pages, ticks = 0, 0
    for one in family(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
            ticks += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:  # it has just ended
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, ticks / os.sysconf("SC_CLK_TCK")


def soak(folder: str, minutes: float) -> dict:
    """What one long run needed at its start and at its end."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run"
        command = [sys.executable, "main.py", "--run", str(path), "--steps", str(10**9), "--seed", "20"]
        options = {"cwd": ROOT / folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process, begin = subprocess.Popen(command, **options), time.time()
        samples = []
        while process.poll() is None and time.time() - begin < 60 * minutes:
            time.sleep(5.0)
            samples.append((time.time() - begin, *used(process.pid)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        if process.returncode != 130:
            raise RuntimeError(f"{folder} did not train to the end: {errors.strip()}")
        files = sorted(file.name for file in path.iterdir() if not file.name.startswith("."))
        seconds, mib, cpu = np.array(samples).T
        curve = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload().Scalars("speed/steps_per_second")
    result = {"minutes": minutes, "env_steps": curve[-1].step, "files": len(files)}
    for moment, limits in (("start", (0.2, 0.4)), ("end", (0.8, 1.0))):
        first, last = (60 * minutes * share for share in limits)
        steps = np.interp((first, last), [point.wall_time - begin for point in curve], [point.step for point in curve])
        result[f"mib_{moment}"] = round(float(np.median(mib[(seconds >= first) & (seconds <= last)])), 1)
        result[f"steps_per_cpu_second_{moment}"] = round(
            float(np.ptp(steps) / np.ptp(np.interp((first, last), seconds, cpu))), 1
        )
    if not result["steps_per_cpu_second_start"]:
        raise RuntimeError(f"{folder}: {minutes} minutes are too short to measure its speed")
    ratio = result["steps_per_cpu_second_end"] / result["steps_per_cpu_second_start"]
    return result | {"speed_ratio": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = [folder for folder in FOLDERS if folder not in ("QLearning", "Sarsa", "SarsaLambda")]
    parser.add_argument("folders", nargs="*", default=networks, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    path = RESULTS / "soak.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    print(f"{'folder':32}{'steps':>10}{'MiB':>16}{'steps/CPU s':>16}{'ratio':>8}{'files':>7}", flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda folder: soak(folder, args.minutes), args.folders)
        for folder, result in zip(args.folders, results, strict=True):
            memory = f"{result['mib_start']:.0f} to {result['mib_end']:.0f}"
            speed = f"{result['steps_per_cpu_second_start']:.0f} to {result['steps_per_cpu_second_end']:.0f}"
            row = f"{folder:32}{result['env_steps']:10}{memory:>16}{speed:>16}{result['speed_ratio']:8.3f}"
            print(f"{row}{result['files']:7}", flush=True)
            kept |= {"machine": machine(), folder: result}
            path.write_text(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
