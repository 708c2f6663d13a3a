"""Stop a training half way with Ctrl-C, resume it, and see whether it still solves its task.

python benchmarks/resume.py FOLDER [--seed 0] [--after 60]
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import FOLDERS, ROOT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", choices=FOLDERS, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", type=float, default=60.0, help="seconds until it is stopped")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run"
        command = [sys.executable, "main.py", "--run", str(path)]
        begun = subprocess.Popen([*command, "--seed", str(args.seed)], cwd=ROOT / args.folder)
        time.sleep(args.after)
        begun.send_signal(signal.SIGINT)
        if begun.wait() != 130:
            print("it was not stopped by Ctrl-C: it had ended, or it failed", file=sys.stderr)
            return 1
        subprocess.run([*command, "--resume"], cwd=ROOT / args.folder, check=True)
        result = json.loads((path / "result.json").read_text())
    print(
        f"{args.folder}, stopped after {args.after:g} s and resumed: {result['score']:.2f}, solved: {result['solved']}"
    )
    return 0 if result["solved"] else 1


if __name__ == "__main__":
    sys.exit(main())
