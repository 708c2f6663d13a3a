"""Train every folder from scratch with one seed, two at a time, and print a table. Fails if one is not solved.

python benchmarks/learn.py [--seed 0] [--jobs 2] [FOLDER ...]
"""

import argparse
import sys

from common import FOLDERS, run_all


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    print(f"{'folder':32}{'score':>10}{'wanted':>10}{'solved':>9}{'seconds':>9}", flush=True)
    unsolved = 0
    for folder, _, result, _ in run_all([(folder, args.seed) for folder in args.folders], args.jobs):
        unsolved += not result["solved"]
        solved = "yes" if result["solved"] else "NO"
        row = f"{folder:32}{result['score']:10.2f}{result['solved_score']:10.2f}{solved:>9}{result['seconds']:9.1f}"
        print(row, flush=True)
    print(f"{len(args.folders) - unsolved} of {len(args.folders)} solved with seed {args.seed}")
    return 1 if unsolved else 0


if __name__ == "__main__":
    sys.exit(main())
