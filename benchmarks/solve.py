"""How soon a task is learned, ours and Stable-Baselines3's with its zoo's settings, in turn, one thread each.

    python benchmarks/solve.py [TASK ...] [--seeds 5] [--first 120] [--jobs 1] [--again]

Tasks: dqn, ppo, trpo, a2c, ddpg, td3, sac, her; default: all. Every so many steps, as many on both sides, the greedy
policy plays 50 episodes. If their mean is at the bar, SOLVED_SCORE of our main.py, it plays 100 other episodes. If that
mean is at the bar too, the task is learned, and the run stops. The episodes are played by evaluate() of our main.py on
both sides, always the same ones for a seed, and always between two updates.

The seconds are those of training, from making the environments and the agent on, without imports. The clock stands
still while the episodes are played, because only the one who measures needs them. Ours is main.train with its curves
and checkpoints, but without its own evaluations: they choose the best agent, and a run that stops at the bar needs no
choice. Schedules, such as a falling learning rate, are those of a full run. A run that is not at the bar by the end of
its budget, TOTAL_STEPS of ours, n_timesteps of the zoo's, has not learned the task.

Each run is a process of its own. Writes benchmarks/results/solve.json after each run; runs that are in it are not done
again, unless --again says so. `python benchmarks/readme.py` puts the table onto the front pages.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import readme
import torch
from common import RESULTS, ROOT, machine

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

KEPT = RESULTS / "solve.json"
SIDES = ("ours", "theirs")
CHECKS = ((50, 3_000_000), (100, 4_000_000))  # episodes, and what is added to the seed: no run chose or scored on them


class Task(NamedTuple):
    """Our folder, and what the zoo gives for its task."""

    folder: str
    every: int  # environment steps from one check to the next, on both sides: a fiftieth of our TOTAL_STEPS
    algorithm: str  # in Stable-Baselines3, or in sb3-contrib
    budget: int  # the zoo's n_timesteps
    settings: dict
    n_envs: int = 1
    normalize: bool = False  # observations and rewards, by their running means and deviations
    noise: float | None = None  # size of the Gaussian noise on actions


PENDULUM = {"gamma": 0.98, "buffer_size": 200_000, "learning_starts": 10_000, "gradient_steps": 1, "train_freq": 1}
PENDULUM |= {"learning_rate": 1e-3, "policy_kwargs": {"net_arch": [400, 300]}}

# The settings are those of rl-baselines3-zoo, hyperparams/*.yml, of April 2026 (commit 22e3ff2), to the letter. What is
# not named there is the library's default: two layers of 64 in A2C, PPO and TRPO, two of 256 in SAC.
TASKS = {
    "dqn": Task(  # dqn.yml, LunarLander-v3
        *("DeepQLearningNetwork(DQN)", 6_000, "DQN", 100_000),
        {"learning_rate": 6.3e-4, "batch_size": 128, "buffer_size": 50_000, "learning_starts": 0, "gamma": 0.99}
        | {"target_update_interval": 250, "train_freq": 4, "gradient_steps": -1, "exploration_fraction": 0.12}
        | {"exploration_final_eps": 0.1, "policy_kwargs": {"net_arch": [256, 256]}},
    ),
    "ppo": Task(  # ppo.yml, LunarLanderContinuous-v3
        *("PPO", 12_288, "PPO", 1_000_000),
        {"n_steps": 1024, "batch_size": 64, "gae_lambda": 0.98, "gamma": 0.999, "n_epochs": 4, "ent_coef": 0.01},
        n_envs=16,
    ),
    # trpo.yml, LunarLanderContinuous-v3
    "trpo": Task("TRPO", 20_480, "TRPO", 100_000, {"n_steps": 1024, "n_critic_updates": 20}, n_envs=2, normalize=True),
    "a2c": Task("A2C", 4_000, "A2C", 500_000, {"ent_coef": 0.0}, n_envs=8),  # a2c.yml, CartPole-v1
    "ddpg": Task("DeepDeterministicPolicyGradient", 200, "DDPG", 20_000, PENDULUM, noise=0.1),  # ddpg.yml, Pendulum-v1
    "td3": Task("TD3", 300, "TD3", 20_000, PENDULUM, noise=0.1),  # td3.yml, Pendulum-v1
    "sac": Task("SAC", 300, "SAC", 20_000, {"learning_rate": 1e-3}),  # sac.yml, Pendulum-v1
    # The zoo has no DDPG for this task. Nearest: sac.yml, FetchReach-v1, without SAC's ent_coef, and with the noise,
    # train_freq and gradient_steps that ddpg.yml gives where it names no task. FetchReach is at v4 by now.
    "her": Task(
        *("DDPGwithHER", 200, "DDPG", 20_000),
        {"buffer_size": 1_000_000, "batch_size": 256, "gamma": 0.95, "learning_rate": 1e-3, "learning_starts": 1_000}
        | {"replay_buffer_kwargs": {"goal_selection_strategy": "future", "n_sampled_goal": 4}}
        | {"train_freq": 1, "gradient_steps": 1, "policy_kwargs": {"net_arch": [64, 64]}},
        normalize=True,
        noise=0.1,
    ),
}


class Judge:
    """Says every so many steps whether an agent is at the bar. Its clock runs from the start, but not meanwhile."""

    def __init__(self, main, seed: int, every: int):
        self.main, self.seed, self.every = main, seed, every
        self.judged, self.reached, self.seconds, self.begin = 0, False, 0.0, time.perf_counter()

    def look(self, step: int, greedy: Callable, last: bool = False) -> bool:
        """Whether the bar was reached. `greedy` gives the agent after `step` steps; `last`: it will get no more."""
        if not self.reached and (step // self.every > self.judged // self.every or (last and step > self.judged)):
            self.seconds, self.judged = self.seconds + time.perf_counter() - self.begin, step
            agent, evaluate, bar = greedy(), self.main.evaluate, self.main.SOLVED_SCORE
            self.reached = all(evaluate(agent, count, self.seed + other).mean() >= bar for count, other in CHECKS)
            self.begin = time.perf_counter()
        return self.reached


def ours(rooms: SimpleNamespace, task: Task, seed: int, limit: int) -> Judge:
    """Train by the folder's main.py, for no more than `limit` steps."""
    main, judge = rooms.main, Judge(rooms.main, seed, task.every)

    class Watched(rooms.harness.Run):
        def steps(self, total_steps: int, by: int = 1):
            for step in super().steps(total_steps, by):
                yield step
                last = step >= min(total_steps, limit)
                if judge.look(step, self.snapshot, last) or last:
                    return

        def evaluate(self, step: int, keep_best: bool = False) -> None:
            """A run that stops at the bar needs no choice of its best agent."""

    with tempfile.TemporaryDirectory() as scratch:
        main.train(Watched(main, seed, main.TOTAL_STEPS, Path(scratch)), seed, main.TOTAL_STEPS)
    return judge


def theirs(rooms: SimpleNamespace, task: Task, seed: int, limit: int) -> Judge:
    """Train by the other library with its zoo's settings, for no more than `limit` steps."""
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise
    from stable_baselines3.common.vec_env import VecNormalize

    algorithm = getattr(stable_baselines3, task.algorithm, None) or getattr(sb3_contrib, task.algorithm)
    policy, settings, env_id = "MlpPolicy", dict(task.settings), rooms.main.ENV_ID
    if goals := env_id.startswith("Fetch"):
        policy, env_id = "MultiInputPolicy", f"gymnasium_robotics:{env_id}"
        settings["replay_buffer_class"] = stable_baselines3.HerReplayBuffer
    judge = Judge(rooms.main, seed, task.every)
    envs = make_vec_env(lambda: gym.make(env_id), task.n_envs, seed)
    if task.noise:
        n = envs.action_space.shape[0]
        settings["action_noise"] = NormalActionNoise(np.zeros(n), np.full(n, task.noise))
    if task.normalize:  # with the algorithm's own discount
        envs = VecNormalize(envs, **{name: settings[name] for name in ("gamma",) if name in settings})
    model = algorithm(policy, envs, **settings, seed=seed, device="cpu")

    def act(obs: np.ndarray, explore: bool) -> np.ndarray:
        """As an agent of ours, for our evaluate(); the statistics that normalise stay as they are."""
        if goals:  # our row of numbers, as it was before: the goal achieved, the goal desired, and the rest
            names, parts = ("achieved_goal", "desired_goal", "observation"), np.split(obs, [3, 6])
            obs = dict(zip(names, parts, strict=True))
        obs = envs.normalize_obs(obs) if task.normalize else obs
        return model.predict(obs, deterministic=not explore)[0]

    agent = SimpleNamespace(act=act)

    class Watch(BaseCallback):
        def _on_rollout_start(self) -> None:  # the update before it is done
            judge.look(model.num_timesteps, lambda: agent)

        def _on_step(self) -> bool:
            return not judge.reached and model.num_timesteps < limit

        def _on_training_end(self) -> None:
            judge.look(model.num_timesteps, lambda: agent, last=True)

    model.learn(task.budget, Watch())
    return judge


def result(name: str, seed: int, side: str, limit: int, rooms: SimpleNamespace | None = None) -> dict:
    """One run in this process. env_steps is null if the bar was not reached in the steps that it was trained."""
    torch.set_num_threads(1)
    task, rooms = TASKS[name], rooms or load(TASKS[name].folder)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first of these two each import for seconds:
    rooms.main.make_env().close()  # let that be before the clock runs
    judge = {"ours": ours, "theirs": theirs}[side](rooms, task, seed, limit)
    about = {"task": name, "folder": task.folder, "env_id": rooms.main.ENV_ID, "side": side, "seed": seed}
    about |= {"env_steps": judge.judged if judge.reached else None, "trained_steps": judge.judged}
    return about | {"seconds": round(judge.seconds, 2), "machine": machine()}


def run(name: str, seed: int, side: str, limit: int) -> dict:
    """The same in a fresh process with one thread."""
    command = [sys.executable, __file__, "--one", name, str(seed), side, "--limit", str(limit)]
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if process.returncode:
        raise RuntimeError(f"{name}, seed {seed}, {side}: {process.stderr.strip()}")
    return json.loads(process.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=list(TASKS), metavar="TASK", help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=120, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; for the table one")
    parser.add_argument("--again", action="store_true", help="measure also what solve.json holds")
    parser.add_argument("--limit", type=int, default=sys.maxsize, help="for trials: end at this step, write nothing")
    parser.add_argument("--one", nargs=3, metavar=("TASK", "SEED", "SIDE"), help="one run in this process, as JSON")
    args = parser.parse_args()
    if unknown := [name for name in args.tasks if name not in TASKS]:
        parser.error(f"no such task: {', '.join(unknown)}")
    if args.one:
        print(json.dumps(result(args.one[0], int(args.one[1]), args.one[2], args.limit)))
        sys.exit()

    trial, runs = args.limit < sys.maxsize, {}  # by task, seed and side
    if KEPT.exists() and not trial:
        runs = {(run["task"], run["seed"], run["side"]): run for run in json.loads(KEPT.read_text())["runs"]}
    everything = [(name, args.first + i, side) for name in args.tasks for i in range(args.seeds) for side in SIDES]
    wanted = [which for which in everything if args.again or which not in runs]
    with ThreadPoolExecutor(args.jobs) as pool:
        for which, done in zip(wanted, pool.map(lambda which: run(*which, args.limit), wanted), strict=True):
            print(*which, done["env_steps"] or "not learned", f"{done['seconds']} s", flush=True)
            runs[which] = done
            ordered = sorted(runs.values(), key=lambda run: (list(TASKS).index(run["task"]), run["seed"], run["side"]))
            if not trial:
                KEPT.with_suffix(".new").write_text(json.dumps({"runs": ordered}, indent=2))
                os.replace(KEPT.with_suffix(".new"), KEPT)
    print(readme.sooner(list(runs.values()), zh=False))


if __name__ == "__main__":
    main()
