"""Train each folder for many minutes: does its memory grow, do its files multiply, does it become slower?

    python benchmarks/soak.py [FOLDER ...] [--minutes 20] [--jobs 2]

The folders default to all with a network. Each trains for steps without end and is then stopped with Ctrl-C. Every five
seconds the resident memory of the run's processes and the files in its folder are counted; the speed is that of the
curve speed/steps_per_second. `start` is the fifth of the time after the first fifth, when the replay memory is full
wherever it fits into that; `end` is the last fifth. Linux only. Writes benchmarks/results/soak.json.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from common import FOLDERS, RESULTS, ROOT, machine, points


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [one for child in children.read_text().split() for one in family(int(child))]
    return found


def resident(pid: int) -> float:
    """Memory of a process and of all that it has started, in MiB; what they share counts once for each."""
    pages = 0
    for one in family(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return pages * 4096 / 2**20


def soak(folder: str, minutes: float) -> dict:
    """What one long run needed at its start and at its end."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run"
        command = [sys.executable, "main.py", "--run", str(path), "--steps", str(10**9), "--seed", "20"]
        options = {"cwd": ROOT / folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process, begin = subprocess.Popen(command, **options), time.monotonic()
        memory = []
        while process.poll() is None and time.monotonic() - begin < 60 * minutes:
            time.sleep(5.0)
            memory.append((time.monotonic() - begin, resident(process.pid)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        if process.returncode != 130:
            raise RuntimeError(f"{folder} did not train to the end: {errors.strip()}")
        files = sorted(file.name for file in path.iterdir() if not file.name.startswith("."))
        curve = points(path, "speed/steps_per_second")["speed/steps_per_second"]
        speed, steps = [(seconds, value) for seconds, _, value in curve], curve[-1][1]
    result = {"minutes": minutes, "env_steps": steps, "files": len(files)}
    for name, of in (("mib", memory), ("steps_per_second", speed)):
        times, values = np.array(of).T
        times = times / (60 * minutes)
        for moment, first, last in (("start", 0.2, 0.4), ("end", 0.8, 1.0)):
            result[f"{name}_{moment}"] = round(float(np.median(values[(times >= first) & (times < last)])), 1)
    return result | {"speed_ratio": round(result["steps_per_second_end"] / result["steps_per_second_start"], 3)}


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
    print(f"{'folder':32}{'steps':>10}{'MiB':>16}{'steps/s':>16}{'ratio':>8}{'files':>7}", flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda folder: soak(folder, args.minutes), args.folders)
        for folder, result in zip(args.folders, results, strict=True):
            memory = f"{result['mib_start']:.0f} to {result['mib_end']:.0f}"
            speed = f"{result['steps_per_second_start']:.0f} to {result['steps_per_second_end']:.0f}"
            row = f"{folder:32}{result['env_steps']:10}{memory:>16}{speed:>16}{result['speed_ratio']:8.3f}"
            print(f"{row}{result['files']:7}", flush=True)
            kept |= {"machine": machine(), folder: result}
            path.write_text(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
