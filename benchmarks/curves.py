"""Train folders with many seeds; keep what was measured, draw the learning curves, renew the tables of the READMEs.

    python benchmarks/curves.py [FOLDER ...] [--seeds 20] [--first 100] [--jobs 2] [--timed 3] [--runs DIR] [--draw]

Writes benchmarks/results/FOLDER.csv, FOLDER/curve.svg and the picture of the family in notes/. With two jobs on two
cores each run takes longer than alone: so the first --timed seeds are run once more, one at a time (--timed 0 keeps
the seconds that this machine has). With --runs the runs stay in DIR, and the same command goes on where it was stopped.
--draw: only draw and renew. In the pictures a line is the mean of the middle half of the seeds, with the 95 % interval
of the bootstrap around it.
"""

import argparse
from pathlib import Path

import common
import numpy as np
import readme
from common import FOLDERS, ROOT, Row, machine, rows_of, run_all
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import bootstrap, trim_mean

rcParams |= {"svg.hashsalt": "curve", "font.size": 11, "savefig.facecolor": "white"}  # the same data, the same file
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]  # Okabe and Ito's: all see them apart
LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
FAMILIES = {  # that learn the same task
    "tables": ("QLearning", "Sarsa", "SarsaLambda"),
    "q-networks": ("DeepQLearningNetwork(DQN)", "DuelingDQN", "DQNwithPER"),
    "policy-gradients": ("PolicyGradient(PG)", "ActorCritic", "A2C", "A3C", "ACER"),
    "trust-regions": ("PPO", "TRPO", "DPPO"),
    "continuous-control": ("DeepDeterministicPolicyGradient", "TD3", "SAC"),
}


def measure(folder: str, seeds: range, jobs: int, timed: int, runs: Path | None) -> None:
    """Run all `seeds`, and the first `timed` once more alone."""
    rows = [row for row in common.read(folder) if row.tag == "seconds_alone" and row.machine == machine() and not timed]
    for _, seed, result, path in run_all([(folder, seed) for seed in seeds], jobs, runs=runs):
        solved = "solved" if result["solved"] else "NOT solved"
        print(f"{folder} seed {seed}: {result['score']:.2f} {solved}, {result['seconds']} s", flush=True)
        rows += rows_of(folder, common.MAIN, seed, result, path)
    for _, seed, result, _ in run_all([(folder, seed) for seed in seeds[:timed]], 1):
        rows.append(
            Row(folder, common.MAIN, seed, result["env_steps"], None, "seconds_alone", result["seconds"], machine())
        )
    common.write(folder, common.MAIN, rows)


def lines(folder: str, tag: str, against: str = "env_steps", variant: str = common.MAIN) -> tuple[np.ndarray, ...]:
    """A grid of steps or seconds [n], the interquartile mean over all seeds there [n], and its 95 % interval [2, n]."""
    curves = {}
    for row in common.read(folder, variant):
        if row.tag == tag and getattr(row, against) is not None:
            curves.setdefault(row.seed, []).append((getattr(row, against), row.value))
    if not curves:
        return np.empty(0), np.empty(0), np.empty((2, 0))
    curves = [np.array(curve) for curve in curves.values()]
    first, last = max(curve[0, 0] for curve in curves), min(curve[-1, 0] for curve in curves)
    grid = np.linspace(first, last, 60)
    values = np.stack([np.interp(grid, *curve.T) for curve in curves])
    middle = trim_mean(values, 0.25)
    if len(values) < 3:
        return grid, middle, np.stack([values.min(axis=0), values.max(axis=0)])
    if np.ptp(values, axis=0).max() == 0:
        return grid, middle, np.stack([middle, middle])
    band = bootstrap(
        (values,), lambda x, axis: trim_mean(x, 0.25, axis), n_resamples=999, method="percentile", random_state=0
    )
    return grid, middle, np.stack(band.confidence_interval)


def draw_line(axes: Axes, number: int, label: str, grid: np.ndarray, middle: np.ndarray, band: np.ndarray) -> None:
    axes.plot(grid, middle, color=COLOURS[number], linestyle=LINES[number], label=label)
    axes.fill_between(grid, *band, color=COLOURS[number], alpha=0.2, linewidth=0)


def draw(folder: str) -> None:
    """FOLDER/curve.svg: the score without exploration and the returns while exploring."""
    rows = common.read(folder)
    if not rows:
        return
    scores = [row.value for row in rows if row.tag == "score"]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="environment steps", ylabel="score", title=f"{folder}, {len(scores)} seeds")
    exploring = "episode/success" if any(row.tag == "episode/success" for row in rows) else "episode/return"
    if folder != "DIAYN":  # no task rewards it
        draw_line(axes, 1, "while it explores", *lines(folder, exploring))
    draw_line(axes, 0, "without exploration", *lines(folder, "eval/score"))
    axes.axhline(common.bar(folder), color="0.4", linestyle=":", label="counts as learned")
    last = max(row.env_steps for row in rows)
    axes.plot(np.full(len(scores), last), scores, "k.", label="score of each seed in the end", clip_on=False)
    limit_below(axes, scores)
    axes.legend(fontsize=9)
    figure.savefig(ROOT / folder / "curve.svg", metadata={"Date": None})


def limit_below(axes: Axes, scores: list[float]) -> None:
    """Leave out most of what lies far below: the first returns may be a hundred times worse than the last."""
    middles = np.concatenate([line.get_ydata() for line in axes.get_lines()[:2] if len(line.get_ydata()) > 2])
    low, high = np.quantile(middles, 0.04), max(*scores, np.max(middles))
    axes.set_ylim(min(low, *scores) - 0.05 * (high - low), high + 0.08 * (high - low))


def draw_family(name: str) -> None:
    """notes/NAME.svg: the scores of all its members, against steps, and against seconds where one machine ran them."""
    members = [folder for folder in FAMILIES[name] if common.read(folder)]
    rows = [row for folder in members for row in common.read(folder) if row.tag == "eval/score"]
    timed = all(row.seconds is not None for row in rows) and len({row.machine for row in rows}) == 1
    against = ["env_steps", "seconds"] if timed else ["env_steps"]
    figure = Figure(figsize=(5 * len(against) + 2, 3.8), layout="constrained")
    for axes, which in zip(figure.subplots(1, len(against), squeeze=False)[0], against, strict=True):
        for number, folder in enumerate(members):
            draw_line(axes, number, folder, *lines(folder, "eval/score", which))
        axes.axhline(common.bar(members[0]), color="0.4", linestyle=":")
        axes.set(xlabel={"env_steps": "environment steps"}.get(which, which), ylabel="score without exploration")
        limit_below(axes, [common.bar(members[0])])
        axes.legend(fontsize=9)
    (ROOT / "notes").mkdir(exist_ok=True)
    figure.savefig(ROOT / "notes" / f"{name}.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER", help="default: all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timed", type=int, default=3)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--draw", action="store_true")
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    for folder in args.folders:
        if not args.draw:
            measure(folder, range(args.first, args.first + args.seeds), args.jobs, args.timed, args.runs)
        draw(folder)
    for name, members in FAMILIES.items():
        if {*members} & {*args.folders} and any(map(common.read, members)):
            draw_family(name)
    readme.main()


if __name__ == "__main__":
    main()
