"""Stop trainings at a third of their steps with Ctrl-C, resume them, and see whether they still solve their tasks.

python benchmarks/resume.py [FOLDER ...] [--seed 0] [--jobs 2]

Writes benchmarks/results/resume.json as the trainings end, and fails if one does not solve its task.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import FOLDERS, RESULTS, ROOT, machine

UNTIL_A_THIRD = """
import os, runpy, signal, sys
sys.path.insert(0, ".")
import harness
steps = harness.Run.steps

def until_a_third(run, total_steps, by=1):
    for step in steps(run, total_steps, by):
        if step >= total_steps / 3:
            os.kill(os.getpid(), signal.SIGINT)
        yield step

harness.Run.steps = until_a_third
sys.argv[0] = "main.py"
runpy.run_path("main.py", run_name="__main__")
"""


def stop_and_resume(folder: str, seed: int) -> dict:
    """The step at which the training was stopped, and what came of it in the end."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run"
        options = {"cwd": ROOT / folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun = subprocess.run(
            [sys.executable, "-c", UNTIL_A_THIRD, "--run", str(path), "--seed", str(seed)], **options
        )
        stopped = re.search(r"saved at step (\d+)", begun.stdout)
        if begun.returncode != 130 or not stopped:
            raise RuntimeError(f"{folder} was not stopped by Ctrl-C: {begun.stderr.strip()}")
        subprocess.run([sys.executable, "main.py", "--run", str(path), "--resume"], **options, check=True)
        result = json.loads((path / "result.json").read_text())
    return {"seed": seed, "stopped_at": int(stopped[1])} | {
        key: result[key] for key in ("env_steps", "score", "solved")
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    path, unsolved = RESULTS / "resume.json", 0
    kept = json.loads(path.read_text()) if path.exists() else {}
    print(f"{'folder':32}{'stopped at':>11}{'steps':>9}{'score':>10}{'solved':>9}", flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda folder: stop_and_resume(folder, args.seed), args.folders)
        for folder, result in zip(args.folders, results, strict=True):
            solved = "yes" if result["solved"] else "NO"
            unsolved += not result["solved"]
            row = f"{folder:32}{result['stopped_at']:11}{result['env_steps']:9}{result['score']:10.2f}{solved:>9}"
            print(row, flush=True)
            kept |= {"machine": machine(), folder: result}
            path.write_text(json.dumps(kept, indent=2))
    print(f"{len(args.folders) - unsolved} of {len(args.folders)} solved with seed {args.seed}")
    return 1 if unsolved else 0


if __name__ == "__main__":
    sys.exit(main())
