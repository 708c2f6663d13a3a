"""The cliff of Sutton & Barto, example 6.6: returns while learning of Q-learning, Sarsa and Sarsa(λ), over many seeds.

    python benchmarks/cliff.py [--seeds 30]

Writes cliff.svg into QLearning and Sarsa, and benchmarks/results/cliff.json.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import RESULTS, ROOT, machine
from matplotlib.figure import Figure

sys.path.insert(0, str(ROOT / "tests"))
from folders import TABULAR, load

EPISODES = 500


def episode_returns(folder: str, seed: int) -> tuple[list[float], float, int]:
    """Returns of the first episodes while learning; the greedy return in the end; its steps beside the cliff."""
    rooms, returns = load(folder), []

    class Run(rooms.harness.Run):
        def log(self, step, values):
            if "episode/return" in values:
                returns.append(float(values["episode/return"]))

    with tempfile.TemporaryDirectory() as scratch:
        rooms.main.EVAL_EVERY = rooms.main.TOTAL_STEPS + 1
        with contextlib.redirect_stdout(None):  # the arrows of each run
            agent = rooms.main.train(Run(rooms.main, seed, None, Path(scratch)), seed, rooms.main.TOTAL_STEPS)
    score = float(rooms.main.evaluate(agent, 1, seed)[0])
    return returns, score, rooms.picture.beside_cliff(agent, rooms.main.make_env())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    seeds = parser.parse_args().seeds
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="episode", ylabel="return while learning", ylim=(-105, 0))
    data = {"machine": machine(), "seeds": seeds}
    for folder in TABULAR:
        runs = [episode_returns(folder, seed) for seed in range(seeds)]
        mean = np.mean([returns[:EPISODES] for returns, _, _ in runs], axis=0)
        smooth = np.convolve(mean, np.ones(10) / 10, "valid")
        axes.plot(np.arange(len(smooth)) + 10, smooth, label=folder)
        data[folder] = {
            "return_while_learning": round(float(mean.mean()), 2),
            "return_of_last_100_episodes": round(float(mean[-100:].mean()), 2),
            "greedy_return": {str(s): [x for _, x, _ in runs].count(s) for s in sorted({x for _, x, _ in runs})},
            "runs_beside_the_cliff": sum(beside > 0 for _, _, beside in runs),
        }
        print(folder, data[folder], flush=True)
    axes.axhline(-13, color="grey", linestyle="--", label="shortest path, -13")
    axes.set_title(f"The cliff: mean of {seeds} seeds, over 10 episodes")
    axes.legend(loc="lower right")
    for folder in ("QLearning", "Sarsa"):
        figure.savefig(ROOT / folder / "cliff.svg", metadata={"Date": None})
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cliff.json").write_text(json.dumps(data, indent=2))


if __name__ == "__main__":
    main()
