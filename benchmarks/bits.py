"""Figure 1 of Andrychowicz et al. (2017) anew: goals reached against the number of bits, with hindsight and without.

    python benchmarks/bits.py [--bits 5 10 15 20 25 30 35 40 45 50] [--seeds 5] [--jobs 2]

Every agent has the settings of DQNwithHER/main.py and as many environment steps. Writes benchmarks/results/bits.json
and DQNwithHER/bits.svg. What is there already of the same sizes and seeds is measured anew; the rest stays.
"""

import argparse
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


def score(case: tuple[int, bool, int]) -> float:
    """Share of 100 fresh goals reached by the best agent of a run with so many bits, with hindsight or not, a seed."""
    import torch

    torch.set_num_threads(1)
    main, harness = (rooms := load(FOLDER)).main, rooms.harness
    main.N_BITS, main.HER, seed = case
    with tempfile.TemporaryDirectory() as scratch:
        run = harness.Run(main, seed, None, Path(scratch))
        main.train(run, seed, main.TOTAL_STEPS)
        run.finish()
        return json.loads((Path(scratch) / "result.json").read_text())["score"]


def draw(data: dict) -> None:
    """The mean over the seeds, between the worst and the best, for each number of bits."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="number of bits", ylabel="goals reached", ylim=(-0.03, 1.03))
    for name in ("with hindsight", "without"):
        sizes = sorted(data[name], key=int)
        scores = [list(data[name][size].values()) for size in sizes]
        bits = [int(size) for size in sizes]
        (line,) = axes.plot(bits, [np.mean(of_size) for of_size in scores], ".-", label=name)
        axes.fill_between(bits, [min(s) for s in scores], [max(s) for s in scores], alpha=0.25, color=line.get_color())
    seeds = len(next(iter(data["with hindsight"].values())))
    axes.set_title(f"Bit flipping, {data['env_steps']:,} environment steps: mean of {seeds} seeds, worst to best")
    axes.legend()
    figure.savefig(ROOT / FOLDER / "bits.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=list(range(5, 51, 5)))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    path, steps = RESULTS / "bits.json", load(FOLDER).main.TOTAL_STEPS
    data = json.loads(path.read_text()) if path.exists() else {}
    if data.get("env_steps") != steps:
        data = {"env_steps": steps, "with hindsight": {}, "without": {}}
    data["machine"] = machine()
    cases = [(n, her, seed) for n in args.bits for her in (True, False) for seed in range(args.seeds)]
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
        for (n, her, seed), reached in zip(cases, pool.imap(score, cases), strict=True):
            name = "with hindsight" if her else "without"
            print(f"{n} bits, {name}, seed {seed}: {reached:.2f}", flush=True)
            data[name].setdefault(str(n), {})[str(seed)] = reached
            path.write_text(json.dumps(data, indent=2))
    draw(data)
    readme.main()


if __name__ == "__main__":
    main()
