"""Train a folder with many seeds; keep the results, draw its learning curve, renew the READMEs.

    python benchmarks/curves.py FOLDER ... [--seeds 10] [--first 0] [--jobs 2] [--timed 3] [--runs DIR]

Writes benchmarks/results/FOLDER.json and FOLDER/curve.svg. With two jobs on two cores each run takes longer than alone:
the seconds of the progress table are the median of the first --timed seeds, run once more one at a time. --seeds 0
keeps the runs there are and measures the seconds only; --timed 0 keeps the seconds. With --runs the runs stay in DIR,
and the same command goes on where it was stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import readme
from common import FOLDERS, RESULTS, ROOT, machine, run_all
from matplotlib import rcParams
from matplotlib.figure import Figure

rcParams["svg.hashsalt"] = "curve"  # the same data, the same file


def measure(folder: str, seeds: range, jobs: int, timed: int, runs: Path | None) -> dict:
    """Results and curves of all `seeds`, and the time that one run takes alone."""
    path = RESULTS / f"{folder}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    data = {"runs": []} if seeds else before
    for _, seed, result, curves in run_all([(folder, seed) for seed in seeds], jobs, runs=runs):
        solved = "solved" if result["solved"] else "NOT solved"
        print(f"{folder} seed {seed}: {result['score']:.2f} {solved}, {result['seconds']} s", flush=True)
        data["runs"].append({"seed": seed, "result": result, "curves": curves})
    alone = [result["seconds"] for _, _, result, _ in run_all([(folder, seed) for seed in seeds[:timed]], 1)]
    timed_before = {name: before[name] for name in ("seconds", "seconds_on", "beside") if name in before}
    timed_now = {"seconds": alone, "seconds_on": machine()} if alone else timed_before
    return {"machine": machine() if seeds else before["machine"], **timed_now, "runs": data["runs"]}


def draw(folder: str, data: dict) -> None:
    """What is scored, return or else, while learning: its mean over all seeds, between the worst and the best."""
    tags = ("episode/success", "eval/score" if folder == "DIAYN" else "episode/return")  # DIAYN is not rewarded
    tag = next(tag for tag in tags if tag in data["runs"][0]["curves"])
    runs = [np.array(run["curves"][tag]) for run in data["runs"]]
    steps = np.linspace(0, max(run[-1, 0] for run in runs), 100)
    smooth = [np.interp(steps, run[:, 0], moving_mean(run[:, 1], max(1, len(run) // 30))) for run in runs]
    result = data["runs"][0]["result"]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(
        xlabel="environment steps", ylabel=tag.split("/")[1], title=f"{folder} on {result['env_id']}"
    )
    axes.fill_between(steps, np.min(smooth, axis=0), np.max(smooth, axis=0), alpha=0.25, label="worst to best seed")
    axes.plot(steps, np.mean(smooth, axis=0), label=f"mean of {len(runs)} seeds, while learning")
    axes.axhline(result["solved_score"], color="grey", linestyle="--", label="counts as learned")
    scores = [run["result"]["score"] for run in data["runs"]]
    axes.plot(np.full(len(scores), steps[-1]), scores, "k.", label="score of each seed in the end", clip_on=False)
    low = np.min(np.concatenate([np.mean(smooth, axis=0)[5:], scores]))
    axes.set_ylim(bottom=low - 0.15 * abs(low), top=max(*scores, np.max(smooth)) + 0.05 * abs(low))
    axes.legend()
    figure.savefig(ROOT / folder / "curve.svg", metadata={"Date": None})


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean over the last `width` values, or over all there are so far."""
    total = np.cumsum(np.insert(values, 0, 0.0))
    first = np.maximum(0, np.arange(1, len(values) + 1) - width)
    return (total[1:] - total[first]) / (np.arange(1, len(values) + 1) - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", choices=FOLDERS, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timed", type=int, default=3)
    parser.add_argument("--runs", type=Path)
    args = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for folder in args.folders:
        data = measure(folder, range(args.first, args.first + args.seeds), args.jobs, args.timed, args.runs)
        (RESULTS / f"{folder}.json").write_text(json.dumps(data))
        draw(folder, data)
        readme.main()
        print(folder, *readme.table_row(folder, zh=False), sep=" | ")


if __name__ == "__main__":
    main()
