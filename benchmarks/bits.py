"""Figure 1 of Andrychowicz et al. (2017) anew: goals reached against the number of bits, with hindsight and without.

    python benchmarks/bits.py [--bits 5 10 15 20 30 40 50] [--seeds 5] [--times 1] [--jobs 2]

Every agent has the settings of DQNwithHER/main.py and as many episodes; an episode has as many steps as there are bits,
and the schedules are stretched to the steps that makes. With --times 3 agents with hindsight have three times as many
episodes, in a line of their own (the paper has far more). A run stops early once an agent reached all goals of an
evaluation. What counts are 100 fresh goals.

Writes benchmarks/results/bits.json and DQNwithHER/bits.svg; what is there already is not measured again.
"""

import argparse
import contextlib
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path

import numpy as np
import readme
from common import RESULTS, ROOT, machine
from matplotlib import rcParams
from matplotlib.figure import Figure

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

FOLDER = "DQNwithHER"
rcParams["svg.hashsalt"] = "bits"  # the same data, the same file


class AllReached(Exception):
    """An agent reached every goal of an evaluation."""


def score(case: tuple[float, int, bool, int]) -> float:
    """Share of 100 fresh goals reached by the best agent of a run: times, bits, with hindsight or not, seed."""
    import torch

    torch.set_num_threads(1)
    main, harness = (rooms := load(FOLDER)).main, rooms.harness
    times, bits, her, seed = case
    steps = int(main.TOTAL_STEPS * times * bits / main.ENV_SETTINGS["n_bits"])
    main.ENV_SETTINGS, main.HER = {"n_bits": bits, "max_episode_steps": bits}, her
    with tempfile.TemporaryDirectory() as scratch:
        run = harness.Run(main, seed, None, Path(scratch))
        evaluate = run.evaluate

        def evaluate_and_stop(step: int, keep_best: bool) -> None:
            evaluate(step, keep_best)
            if run.kept["best_score"] == 1.0:
                raise AllReached

        run.evaluate = evaluate_and_stop
        with contextlib.suppress(AllReached):
            main.train(run, seed, steps)
        run.finish()
        return json.loads((Path(scratch) / "result.json").read_text())["score"]


def draw(data: dict) -> None:
    """The mean over the seeds, between the worst and the best, for each number of bits."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="number of bits", ylabel="goals reached", ylim=(-0.03, 1.03))
    for name in data["goals reached"]:
        sizes = sorted((reached := data["goals reached"][name]), key=int)
        scores = [list(reached[size].values()) for size in sizes]
        bits = [int(size) for size in sizes]
        (line,) = axes.plot(bits, [np.mean(of_size) for of_size in scores], ".-", label=name)
        axes.fill_between(bits, [min(s) for s in scores], [max(s) for s in scores], alpha=0.25, color=line.get_color())
    axes.set_title(f"Bit flipping, up to {data['episodes']:,} episodes: mean of the seeds, worst to best")
    axes.legend()
    figure.savefig(ROOT / FOLDER / "bits.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[5, 10, 15, 20, 30, 40, 50])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--times", type=float, default=1.0, help="how many times as many episodes as main.py has")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    path, main = RESULTS / "bits.json", load(FOLDER).main
    episodes = main.TOTAL_STEPS // main.ENV_SETTINGS["n_bits"]
    data = json.loads(path.read_text()) if path.exists() else {}
    if data.get("episodes") != episodes:  # of other settings
        data = {"episodes": episodes, "goals reached": {}}
    data["machine"] = machine()
    names = {True: "with hindsight", False: "without"}
    if args.times != 1:
        names = {True: f"with hindsight, {args.times:g} times as many"}
    for name in names.values():
        data["goals reached"].setdefault(name, {})
    cases = [(n, her, seed) for her in names for seed in range(args.seeds) for n in args.bits]
    cases = [case for case in cases if str(case[2]) not in data["goals reached"][names[case[1]]].get(str(case[0]), {})]
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
        results = pool.imap(score, [(args.times, *case) for case in cases])
        for (n, her, seed), reached in zip(cases, results, strict=True):
            print(f"{n} bits, {names[her]}, seed {seed}: {reached:.2f}", flush=True)
            data["goals reached"][names[her]].setdefault(str(n), {})[str(seed)] = reached
            path.write_text(json.dumps(data, indent=2))
    draw(data)
    readme.main()


if __name__ == "__main__":
    main()
