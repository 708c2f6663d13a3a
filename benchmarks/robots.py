"""Train folders on robots of MuJoCo's that take hours to learn; keep scores and curves, renew the READMEs.

    python benchmarks/robots.py FOLDER ... [--env ENV_ID] [--steps N] [--seeds 3] [--jobs 1] [--runs DIR]

What is run is main_mujoco.py, on HalfCheetah-v5; of DDPGwithHER main_push.py, on FetchPush-v4. Of PPO, TRPO and DPPO
--env names another robot, Hopper-v5 or Walker2d-v5, trained in a copy of the folder with that ENV_ID. There are
100,000 steps, and a million of these three. Runs stay in DIR/FOLDER/SEED, of another robot in DIR/ENV_ID/FOLDER/SEED
(default: runs/mujoco), so that the command can be stopped and given again: a run that was finished is read, one that
was stopped goes on. Writes benchmarks/results/FOLDER.csv and FOLDER/mujoco.svg. Of DIAYN, which no task rewards, the
returns drawn are those of its skills, ten episodes each.
"""

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
import numpy as np
import readme
import torch
from common import RESULTS, ROOT, machine
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path.insert(0, str(ROOT / "tests"))
import changed
from folders import importable, load

rcParams["svg.hashsalt"] = "mujoco"  # the same data, the same file
MAINS = dict.fromkeys(("DeepDeterministicPolicyGradient", "TD3", "SAC", "DIAYN"), "main_mujoco.py")
MAINS |= {"DDPGwithHER": "main_push.py"}
ROBOTS = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"]  # of the folders below; the first is that of main_mujoco.py
MAINS |= dict.fromkeys(ON_POLICY := ("PPO", "TRPO", "DPPO"), "main_mujoco.py")
PAPER = {"TD3": (5514, 554)}  # mean, deviation on HalfCheetah at 100,000 steps, of the curves published with the paper
ZOO = {  # one run each of Stable-Baselines3's tuned settings, a million steps, robots of the version 3
    "PPO": {"HalfCheetah-v5": 5819, "Hopper-v5": 2410, "Walker2d-v5": 3479},
    "TRPO": {"HalfCheetah-v5": 1785, "Hopper-v5": 3618, "Walker2d-v5": 4933},
}


def variant(folder: str, env_id: str) -> str:
    """The name under which the rows are kept."""
    return MAINS[folder] if env_id == ROBOTS[0] else f"{env_id} {MAINS[folder]}"


def with_robot(folder: str, env_id: str, scratch: Path) -> Path:
    """The folder, or a copy of it in which main_mujoco.py has another robot."""
    if env_id == ROBOTS[0]:
        return ROOT / folder
    main = changed.copy(folder, scratch, {}) / MAINS[folder]
    text, line = main.read_text(), 'main.ENV_ID = "{}"\n'
    assert text.count(line.format(ROBOTS[0])) == 1, f"{folder}/{main.name} has another line of ENV_ID"
    main.write_text(text.replace(line.format(ROBOTS[0]), line.format(env_id)))
    return main.parent


def train(folder: str, env_id: str, place: Path, seed: int, steps: int, path: Path) -> list[common.Row]:
    """What the run leaves to be kept; trained as far as it was not yet, in the folder's copy `place`."""
    result = common.run_once(str(place), path, seed, "--steps", str(steps), main=MAINS[folder])
    if result["env_steps"] != steps:
        raise SystemExit(f"the run in {path} has {result['env_steps']} steps")
    name = folder if env_id == ROBOTS[0] else f"{folder} {env_id}"
    print(f"{name} seed {seed}: {result['score']:.2f}, {result['train_seconds']:.0f} s", flush=True)
    return common.rows_of(folder, variant(folder, env_id), seed, result, path)


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
    elif folder in ON_POLICY:
        draw_robots(folder, figure)
    else:
        axes = figure.add_subplot(xlabel="environment steps", ylabel="score, as it learns", title=title)
        lines(axes, rows)
        if folder in PAPER:
            mean, std = PAPER[folder]
            axes.errorbar(100_000, mean, std, fmt="k.", capsize=4, label="the paper's ten seeds", clip_on=False)
        axes.legend()
    figure.savefig(ROOT / folder / "mujoco.svg", metadata={"Date": None})


def draw_robots(folder: str, figure: Figure) -> None:
    """A panel for each robot that was measured."""
    measured = [env_id for env_id in ROBOTS if common.read(folder, variant(folder, env_id))]
    figure.set_size_inches(1 + 3.5 * len(measured), 3.5)
    panels = figure.subplots(1, len(measured), squeeze=False)[0]
    for axes, env_id in zip(panels, measured, strict=True):
        rows = common.read(folder, variant(folder, env_id))
        axes.set(xlabel="million environment steps", title=f"{folder}, {env_id}")
        lines(axes, rows, unit=1e6)
        if env_id in ZOO.get(folder, {}):
            axes.plot(1, ZOO[folder][env_id], "kx", label="Stable-Baselines3's zoo", clip_on=False)
    panels[0].set_ylabel("score, as it learns")
    panels[0].legend()


def lines(axes: Axes, rows: list[common.Row], unit: float = 1) -> None:
    """The score of each seed over the steps, counted in `unit`."""
    for seed in sorted({row.seed for row in rows}):
        curve = [(row.env_steps / unit, row.value) for row in rows if row.seed == seed and row.tag == "eval/score"]
        axes.plot(*zip(*curve, strict=True), label=f"seed {seed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", choices=MAINS, metavar="FOLDER")
    parser.add_argument("--env", default=ROBOTS[0], choices=ROBOTS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "mujoco")
    args = parser.parse_args()
    if args.env != ROBOTS[0] and not {*args.folders} <= {*ON_POLICY}:
        parser.error(f"--env is for {', '.join(ON_POLICY)}")
    torch.set_num_threads(1)
    for folder in args.folders:
        steps = args.steps or (1_000_000 if folder in ON_POLICY else 100_000)
        runs = args.runs.resolve() / ("" if args.env == ROBOTS[0] else args.env) / folder
        paths = [runs / str(seed) for seed in range(args.seeds)]
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(args.jobs) as pool:
            place = with_robot(folder, args.env, Path(scratch))
            waiting = [pool.submit(train, folder, args.env, place, i, steps, path) for i, path in enumerate(paths)]
            rows = [row for of in waiting for row in of.result()]
        common.write(folder, variant(folder, args.env), rows)
        if folder == "DIAYN":
            kept = {"machine": machine(), "skills": returns_of_skills(paths[0])}
            (RESULTS / "DIAYN-mujoco.json").write_text(json.dumps(kept))
        draw(folder)
    readme.main()


if __name__ == "__main__":
    main()
