"""What ACER's pieces are worth on CartPole-v1.

    python benchmarks/acer.py steps       environment steps to a return of 475, A2C against ACER, seeds 0 to 9
    python benchmarks/acer.py ablation    the same and the score in the end, each of ACER's pieces off, seeds 0 to 4

Every 1,000 steps the agent plays 10 episodes on seeds of their own, which decide nothing in the training. Two counts:
`first`, when one evaluation is 475 or more for the first time, be it by luck and lost again with the next update; and
`steps`, when the mean of ten in a row is, which are 100 episodes over 10,000 steps: the agent has got there and stayed.
Writes benchmarks/results/acer-steps.json or acer-ablation.json.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, ROOT, machine

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

EVERY, EPISODES, IN_A_ROW, WANTED, OWN_SEED = 1_000, 10, 10, 475.0, 3_000_000
VARIANTS = {
    "full": {},
    "without Retrace": {"RETRACE": False},
    "without truncation": {"TRUNCATION": np.inf},
    "without trust region": {"DELTA": np.inf},
    "without replay": {"REPLAY_RATIO": 0},
    "memory of all steps": {"CAPACITY": 625},
    "gradient clipping as in A2C": {"MAX_GRAD_NORM": 0.5},
}


def train(folder: str, seed: int, stop: bool, **constants: float) -> dict:
    """Train with `constants` in place of those in main.py; to the end, or with `stop` only until it stays at 475."""
    rooms, means = load(folder), []
    vars(rooms.main).update(constants)

    class Run(rooms.harness.Run):
        def steps(self, total_steps, by=1):
            for step in super().steps(total_steps, by):
                yield step
                if step % EVERY == 0:
                    means.append(float(rooms.main.evaluate(self.agent, EPISODES, OWN_SEED + seed).mean()))
                    if stop and reached(means, IN_A_ROW):
                        return

        def evaluate(self, step, keep_best=False):
            if not stop:
                super().evaluate(step, keep_best)

    with tempfile.TemporaryDirectory() as scratch:
        run = Run(rooms.main, seed, None, Path(scratch))
        rooms.main.train(run, seed, rooms.main.TOTAL_STEPS)
        result = {"seed": seed, "first": reached(means, 1), "steps": reached(means, IN_A_ROW)}
        if not stop:
            with contextlib.redirect_stdout(None):  # the verdict of each run
                run.finish()
            result |= {"score": json.loads((Path(scratch) / "result.json").read_text())["score"]}
    return result | {"evaluations": [round(mean, 1) for mean in means]}


def reached(means: list[float], in_a_row: int) -> int | None:
    """Environment steps until `in_a_row` evaluations have a mean of 475 or more; None if they never had."""
    for i in range(in_a_row, len(means) + 1):
        if np.mean(means[i - in_a_row : i]) >= WANTED:
            return EVERY * i
    return None


def medians(runs: list[dict]) -> dict[str, float | list | None]:
    """Of both counts the run in the middle, None if that never came there, and all runs."""
    result = {}
    for name in ("first", "steps"):
        middle = statistics.median(run[name] or np.inf for run in runs)
        result |= {f"median_{name}": None if np.isinf(middle) else middle, name: [run[name] for run in runs]}
    return result


def steps() -> dict:
    result = {}
    for folder in ("A2C", "ACER"):
        runs = [train(folder, seed, stop=True) for seed in range(10)]
        result[folder] = medians(runs) | {"runs": runs}
        print(folder, medians(runs), flush=True)
    return result


def ablation() -> dict:
    result = {}
    for name, constants in VARIANTS.items():
        runs = [train("ACER", seed, stop=False, **constants) for seed in range(5)]
        scores = [run["score"] for run in runs]
        last = [float(np.mean(run["evaluations"][-10:])) for run in runs]
        result[name] = medians(runs) | {
            "scores": [round(score, 1) for score in scores],
            "solved": sum(score >= WANTED for score in scores),
            "mean_of_the_last_10_evaluations": [round(mean, 1) for mean in last],
            "runs": runs,
        }
        print(name, {key: value for key, value in result[name].items() if key != "runs"}, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "ablation"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {"machine": machine(), "every": EVERY, "episodes": EPISODES, **globals()[args.what]()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"acer-{args.what}.json").write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
