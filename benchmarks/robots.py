"""Train folders on robots of MuJoCo's that take hours to learn; keep scores and curves, renew the READMEs.

    python benchmarks/robots.py FOLDER ... [--steps 100000] [--seeds 3] [--jobs 1] [--runs DIR]

What is run is main_mujoco.py, on HalfCheetah-v5; of DDPGwithHER main_push.py, on FetchPush-v4. Runs stay in
DIR/FOLDER/SEED (default: runs/mujoco), so that the command can be stopped and given again: a run that was finished is
read, one that was stopped goes on. Writes benchmarks/results/FOLDER.csv and FOLDER/mujoco.svg. Of DIAYN, which
no task rewards, the returns drawn are those of its skills, ten episodes each.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
import numpy as np
import readme
import torch
from common import RESULTS, ROOT, machine
from matplotlib import rcParams
from matplotlib.figure import Figure

sys.path.insert(0, str(ROOT / "tests"))
from folders import importable, load

rcParams["svg.hashsalt"] = "mujoco"  # the same data, the same file
MAINS = dict.fromkeys(("DeepDeterministicPolicyGradient", "TD3", "SAC", "DIAYN"), "main_mujoco.py")
MAINS |= {"DDPGwithHER": "main_push.py"}
PAPER = {"TD3": (5514, 554)}  # mean, deviation on HalfCheetah at 100,000 steps, of the curves published with the paper


def train(folder: str, seed: int, steps: int, path: Path) -> list[common.Row]:
    """What the run leaves to be kept; trained as far as it was not yet."""
    result = common.run_once(folder, path, seed, "--steps", str(steps), main=MAINS[folder])
    if result["env_steps"] != steps:
        raise SystemExit(f"the run in {path} has {result['env_steps']} steps")
    print(f"{folder} seed {seed}: {result['score']:.2f}, {result['train_seconds']:.0f} s", flush=True)
    return common.rows_of(folder, MAINS[folder], seed, result, path)


def returns_of_skills(path: Path) -> list[list[float]]:
    """The task's own return in ten episodes of each skill, [n_skills][10]."""
    rooms = load("DIAYN")
    with importable("DIAYN", rooms):
        source = (ROOT / "DIAYN" / "main_mujoco.py").read_text()
        exec(compile(source, "main_mujoco.py", "exec"), {"__name__": "main_mujoco"})
    main, kept = rooms.main, rooms.checkpoint.load(path)
    agent = main.make_agent(env := main.make_env(), kept["seed"])
    agent.load_state_dict(kept["agent"] | kept["best"])
    for skill in range(main.N_SKILLS):
        for episode in range(10):
            rooms.env.play(agent, env, skill, seed=episode)
    returns = np.array(env.get_wrapper_attr("return_queue")).reshape(main.N_SKILLS, 10)
    return returns.round(1).tolist()


def draw(folder: str) -> None:
    """The score while learning, one line a seed; what the paper's authors reached; or the returns of the skills."""
    figure, rows = Figure(figsize=(7, 3.5), layout="constrained"), common.read(folder, MAINS[folder])
    title = f"{folder}, {MAINS[folder]}"
    if folder == "DIAYN":
        axes = figure.add_subplot(xlabel="skill", ylabel="return in the task itself", title=title)
        returns = np.array(json.loads((RESULTS / "DIAYN-mujoco.json").read_text())["skills"])
        order = returns.mean(axis=1).argsort()
        axes.boxplot(returns[order].T, tick_labels=order)
        axes.axhline(0, color="grey", linewidth=0.5)
    else:
        axes = figure.add_subplot(xlabel="environment steps", ylabel="score, as it learns", title=title)
        for seed in sorted({row.seed for row in rows}):
            curve = [(row.env_steps, row.value) for row in rows if row.seed == seed and row.tag == "eval/score"]
            axes.plot(*zip(*curve, strict=True), label=f"seed {seed}")
        if folder in PAPER:
            mean, std = PAPER[folder]
            axes.errorbar(100_000, mean, std, fmt="k.", capsize=4, label="the paper's ten seeds", clip_on=False)
        axes.legend()
    figure.savefig(ROOT / folder / "mujoco.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", choices=MAINS, metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "mujoco")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for folder in args.folders:
        paths = [args.runs.resolve() / folder / str(seed) for seed in range(args.seeds)]
        with ThreadPoolExecutor(args.jobs) as pool:
            rows = list(pool.map(train, *zip(*((folder, i, args.steps, p) for i, p in enumerate(paths)), strict=True)))
        common.write(folder, MAINS[folder], [row for of in rows for row in of])
        if folder == "DIAYN":
            kept = {"machine": machine(), "skills": returns_of_skills(paths[0])}
            (RESULTS / "DIAYN-mujoco.json").write_text(json.dumps(kept))
        draw(folder)
    readme.main()


if __name__ == "__main__":
    main()
