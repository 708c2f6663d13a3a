"""Stop trainings on the way with Ctrl-C, resume them, and see whether they still solve their tasks.

    python benchmarks/resume.py [FOLDER ...] [--seed 0] [--after 12] [--jobs 2]

Writes benchmarks/results/resume.json. `--after`: seconds until a training is stopped.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import FOLDERS, RESULTS, ROOT, machine


def stop_and_resume(folder: str, seed: int, after: float) -> dict:
    """The step at which the training was stopped, and what came of it in the end."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run"
        command = [sys.executable, "main.py", "--run", str(path)]
        options = {"cwd": ROOT / folder, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        begun = subprocess.Popen([*command, "--seed", str(seed)], **options)
        while not (path / "checkpoint.pt").exists() and begun.poll() is None:
            time.sleep(0.1)
        time.sleep(after)
        begun.send_signal(signal.SIGINT)
        said = begun.communicate()[0]
        if begun.returncode != 130:
            raise RuntimeError(f"{folder} was not stopped by Ctrl-C: it had ended, or it failed")
        subprocess.run([*command, "--resume"], **options, check=True)
        result = json.loads((path / "result.json").read_text())
    stopped = int(re.search(r"saved at step (\d+)", said)[1])
    return {"seed": seed, "stopped_at": stopped} | {key: result[key] for key in ("env_steps", "score", "solved")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", type=float, default=12.0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    path, solved = RESULTS / "resume.json", True
    kept = json.loads(path.read_text()) if path.exists() else {}
    with ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda folder: stop_and_resume(folder, args.seed, args.after), args.folders)
        for folder, result in zip(args.folders, results, strict=True):
            print(f"{folder}, stopped at step {result['stopped_at']}: {result}", flush=True)
            kept |= {"machine": machine(), folder: result}
            solved = solved and result["solved"]
    path.write_text(json.dumps(kept, indent=2))
    return 0 if solved else 1


if __name__ == "__main__":
    sys.exit(main())
