"""Other tasks, with nothing but ENV_ID, the steps and the bar changed in main.py: are they learned too?

    python benchmarks/tasks.py [--seeds 3] [--first 20] [--jobs 2] [--runs DIR] [--only NAME]

Writes benchmarks/results/tasks.json, run by run, and prints a table. With --only NAME it runs one folder, or one task,
and the other rows stay. With --runs the runs stay in DIR, and the same command goes on where it was stopped.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import RESULTS, ROOT, machine, run_all

sys.path.insert(0, str(ROOT / "tests"))
import changed

DRY = "FrozenLake8x8Dry-v1"  # gymnasium has no name for the lake without slipping
NAMED = f"""gym.register("{DRY}", "gymnasium.envs.toy_text.frozen_lake:FrozenLakeEnv", max_episode_steps=200,
             kwargs={{"map_name": "8x8", "is_slippery": False}})
"""
TASKS = [  # folder, ENV_ID, TOTAL_STEPS, SOLVED_SCORE
    ("QLearning", DRY, 100_000, 1.0),
    ("DeepQLearningNetwork(DQN)", "CartPole-v1", 100_000, 475.0),
    ("A2C", "Acrobot-v1", 200_000, -100.0),
    ("PPO", "Acrobot-v1", 204_800, -100.0),
    ("PPO", "InvertedPendulum-v5", 307_200, 950.0),
    ("SAC", "MountainCarContinuous-v0", 50_000, 90.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=20, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--only", default="", metavar="NAME")
    args = parser.parse_args()
    tasks = [task for task in TASKS if args.only in ("", *task)]
    path = RESULTS / "tasks.json"
    old = json.loads(path.read_text())["runs"] if path.exists() else []
    runs = {(run["folder"], run["env_id"], run["seed"]): run for run in old}
    with tempfile.TemporaryDirectory() as scratch:
        copies = {}  # of folders, in which the constants are changed
        for folder, env_id, steps, bar in tasks:
            constants = {"ENV_ID": env_id, "TOTAL_STEPS": steps, "SOLVED_SCORE": bar}
            place = (args.runs or Path(scratch)).resolve() / env_id
            copies[str(changed.copy(folder, place, constants, NAMED if env_id == DRY else ""))] = (folder, env_id)
        pairs = [(copy, args.first + i) for copy in copies for i in range(args.seeds)]
        for copy, seed, result, _ in run_all(pairs, args.jobs):
            folder, env_id = copies[copy]
            kept = {name: result[name] for name in ("env_steps", "solved_score", "score", "solved", "seconds")}
            about = {"folder": folder, "env_id": env_id, "seed": seed, "machine": machine()}
            runs[folder, env_id, seed] = about | kept
            path.write_text(json.dumps({"runs": [*runs.values()]}, indent=1))
            solved = "solved" if result["solved"] else "NOT solved"
            print(f"{folder} {env_id} seed {seed}: {result['score']:.2f} {solved}, {result['seconds']} s", flush=True)
    print(f"\n{'folder':28}{'task':26}{'steps':>9}{'wanted':>9}{'scores':>28}{'solved':>8}{'seconds':>9}")
    for folder, env_id, steps, bar in tasks:
        these = [run for key, run in runs.items() if key[:2] == (folder, env_id)]
        scores = " ".join(f"{run['score']:.1f}" for run in these)
        solved = f"{sum(run['solved'] for run in these)}/{len(these)}"
        seconds = np.median([run["seconds"] for run in these if run["seconds"]] or [np.nan])
        print(f"{folder:28}{env_id:26}{steps:9}{bar:9g}{scores:>28}{solved:>8}{seconds:9.0f}")


if __name__ == "__main__":
    main()
