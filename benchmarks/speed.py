"""Speed against Stable-Baselines3, on the same machine in the same run, one thread each.

python benchmarks/speed.py dqn       LunarLander-v3 from start to trained agent, ours and theirs with its zoo's settings
python benchmarks/speed.py per       time of one update with uniform and with prioritised replay
python benchmarks/speed.py a2c       steps per second of A2C, 8 environments, 5 steps, the same network, ours and theirs
python benchmarks/speed.py a3c       steps per second of A3C with one worker and with one for each core
python benchmarks/speed.py ppo       steps per second of PPO with main.py's settings, the same network, ours and theirs
python benchmarks/speed.py trpo      the same of TRPO, theirs in sb3-contrib
python benchmarks/speed.py dppo      steps per second of DPPO with one worker and with one for each core
python benchmarks/speed.py ddpg      updates per second of DDPG, two layers of 256, batch 256, one update a step, ours
                                     and theirs; also: td3, sac

The share of the bare limit: a2c, ppo, trpo, ddpg, td3 and sac also measure how long the environments' steps alone and
the matrix products alone take, with nothing between them, and which share of our time that is.
"""

import argparse
import collections
import contextlib
import functools
import json
import os
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from common import RESULTS, ROOT, machine, run
from torch.ops import aten
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(ROOT / "tests"))
import changed
from folders import importable, load


def dqn() -> dict:
    """Seconds and scores of a whole training, seed 0: ours, then Stable-Baselines3's."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.evaluation import evaluate_policy

    with tempfile.TemporaryDirectory() as scratch:
        ours = run("DeepQLearningNetwork(DQN)", Path(scratch) / "run", "--seed", "0")
    begin = time.perf_counter()
    model = DQN(
        "MlpPolicy",
        "LunarLander-v3",
        learning_rate=6.3e-4,
        batch_size=128,
        buffer_size=50_000,
        learning_starts=0,
        gamma=0.99,
        target_update_interval=250,
        train_freq=4,
        gradient_steps=-1,
        exploration_fraction=0.12,
        exploration_final_eps=0.1,
        policy_kwargs={"net_arch": [256, 256]},
        seed=0,
        device="cpu",
    )
    model.learn(100_000)
    mean, std = evaluate_policy(model, gym.wrappers.RecordEpisodeStatistics(gym.make("LunarLander-v3")), 100)
    theirs = {"seconds": round(time.perf_counter() - begin, 1), "score": float(mean), "score_std": float(std)}
    return {"ours": ours, "stable-baselines3": theirs}


def per() -> dict:
    """Microseconds of one update with uniform and with prioritised replay, in turn, at a full memory."""
    agents = {}
    for folder in ("DeepQLearningNetwork(DQN)", "DQNwithPER"):
        rooms = load(folder)
        env = rooms.main.make_env()
        agents[folder] = agent = rooms.main.make_agent(env, seed=0)
        obs, _ = env.reset(seed=0)
        for _ in range(agent.replay.transitions.size):
            agent.replay.add(obs, 0, 0.0, obs, False)
    times = {folder: [] for folder in agents}
    for _ in range(20):
        for folder, agent in agents.items():
            begin = time.perf_counter()
            for _ in range(100):
                agent.learn()
            times[folder].append((time.perf_counter() - begin) / 100 * 1e6)
    microseconds = {folder: round(float(np.median(values)), 1) for folder, values in times.items()}
    ratio = [b / a for a, b in zip(*times.values(), strict=True)]
    return {"microseconds": microseconds, "ratio": round(float(np.median(ratio)), 3)}


def a2c() -> dict:
    """Steps per second of training alone, ours and Stable-Baselines3's in turn; the first round is not counted."""
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env

    rooms = load("A2C")
    rooms.main.N_ENVS, rooms.main.N_STEPS, rooms.main.EVAL_EVERY = 8, 5, 10**12
    model = A2C("MlpPolicy", make_vec_env("CartPole-v1", 8), n_steps=5, seed=0, device="cpu")  # two layers of 64, tanh
    assert rooms.main.HIDDEN == 64

    def ours(steps: int) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            rooms.main.train(rooms.harness.Run(rooms.main, 0, steps, Path(scratch)), 0, steps)

    result = in_turn({"ours": ours, "stable-baselines3": model.learn}, 100_000)
    return result | bare_limit(ours, rooms.main.make_envs(), 20_000, result["steps_per_second"]["ours"])


def ppo() -> dict:
    """Steps per second of training alone, ours and Stable-Baselines3's in turn; the first round is not counted."""
    from stable_baselines3 import PPO

    main = load("PPO").main
    same = {"learning_rate": main.LEARNING_RATE, "n_epochs": main.N_EPOCHS, "clip_range": main.CLIP}
    return rollouts("PPO", PPO, same | {"ent_coef": main.ENTROPY_COEF, "max_grad_norm": main.MAX_GRAD_NORM})


def trpo() -> dict:
    """Steps per second of training alone, ours and sb3-contrib's in turn; the first round is not counted."""
    from sb3_contrib import TRPO

    main = load("TRPO").main
    same = {"learning_rate": main.LEARNING_RATE, "n_critic_updates": main.N_EPOCHS, "target_kl": main.DELTA}
    same |= {"cg_max_steps": main.CG_STEPS, "cg_damping": main.DAMPING}
    return rollouts("TRPO", TRPO, same | {"line_search_max_iter": main.LINE_SEARCH_STEPS})


def rollouts(folder: str, algorithm: type, same: dict) -> dict:
    """The common part of ppo and trpo: sixteen rollouts a round, as large as in main.py."""
    from stable_baselines3.common.env_util import make_vec_env

    rooms = load(folder)
    main, main.EVAL_EVERY = rooms.main, 10**12
    same |= {"n_steps": main.N_STEPS, "batch_size": main.MINIBATCH_SIZE, "gamma": main.GAMMA}
    same |= {"gae_lambda": main.GAE_LAMBDA, "policy_kwargs": {"net_arch": [main.HIDDEN, main.HIDDEN]}}  # tanh
    model = algorithm("MlpPolicy", make_vec_env(main.ENV_ID, main.N_ENVS), **same, seed=0, device="cpu")

    def ours(steps: int) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            main.train(rooms.harness.Run(main, 0, steps, Path(scratch)), 0, steps)

    rollout = main.N_ENVS * main.N_STEPS
    result = in_turn({"ours": ours, "theirs": model.learn}, 16 * rollout)
    return result | bare_limit(ours, main.make_envs(), 4 * rollout, result["steps_per_second"]["ours"])


def ddpg() -> dict:
    return updates("DeepDeterministicPolicyGradient", "DDPG")


def td3() -> dict:
    return updates("TD3", "TD3")


def sac() -> dict:
    return updates("SAC", "SAC")


def updates(folder: str, theirs: str) -> dict:
    """Steps per second, with one update in each, of training on Pendulum-v1 with the same settings, from the start."""
    import stable_baselines3

    main, harness = (rooms := load(folder)).main, rooms.harness
    main.HIDDEN, main.BATCH_SIZE, main.LEARNING_STARTS, main.TRAIN_EVERY, main.EVAL_EVERY = 256, 256, 256, 1, 10**12
    settings = {"learning_rate": main.ACTOR_LEARNING_RATE, "buffer_size": main.CAPACITY, "learning_starts": 256}
    settings |= {"batch_size": 256, "tau": main.TAU, "gamma": main.GAMMA, "train_freq": 1, "gradient_steps": 1}
    settings |= {"policy_kwargs": {"net_arch": [256, 256]}, "seed": 0, "device": "cpu"}

    def ours(steps: int) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            main.train(harness.Run(main, 0, steps, Path(scratch)), 0, steps)

    def others(steps: int) -> None:
        torch.set_flush_denormal(False)  # our agent turned it on; without being asked for it is off
        getattr(stable_baselines3, theirs)("MlpPolicy", main.ENV_ID, **settings).learn(steps)

    result = in_turn({"ours": ours, "stable-baselines3": others}, 3_000)
    result |= bare_limit(ours, main.make_env(), 3_000, result["steps_per_second"]["ours"])
    return {"updates_per_second": result.pop("steps_per_second")} | result


def in_turn(trainings: dict, steps: int, rounds: int = 3) -> dict:
    """Median steps per second of each of two trainings, and the median of the ratios, over rounds of both."""
    speeds = {name: [] for name in trainings}
    for _ in range(rounds + 1):
        for name, learn in trainings.items():
            begin = time.perf_counter()
            learn(steps)
            speeds[name].append(steps / (time.perf_counter() - begin))
    speeds = {name: values[1:] for name, values in speeds.items()}
    result = {name: round(float(np.median(values))) for name, values in speeds.items()}
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    return {"steps_per_second": result, "ratio": round(float(np.median(ratios)), 2), "rounds": rounds}


class Products(TorchDispatchMode):
    """Counts the matrix products that are done, by operation and shapes."""

    def __init__(self):
        super().__init__()
        self.counts = collections.Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.overloadpacket in {aten.mm, aten.addmm, aten.bmm, aten.baddbmm}:
            self.counts[operation, tuple(factor.shape for factor in args)] += 1
        return operation(*args, **kwargs or {})


def bare_limit(learn: Callable[[int], None], env: gym.Env | gym.vector.VectorEnv, steps: int, speed: int) -> dict:
    """Microseconds of a step: all of it, the environment's alone, and the matrix products' alone; what share these are.

    The shapes of all matrix products are recorded while it learns; then they are done alone, with random numbers.
    """
    with Products() as recorded:
        learn(steps)
    products = 0.0
    for (product, shapes), times in recorded.counts.items():
        factors = [torch.randn(shape) for shape in shapes]
        with torch.inference_mode():
            seconds = timeit.repeat(functools.partial(product, *factors), number=100, repeat=11)
        products += times * float(np.median(seconds)) / 100
    count = steps // getattr(env, "num_envs", 1)
    env.reset(seed=0)
    action, begin = env.action_space.sample(), time.perf_counter()
    for _ in range(count):
        _, _, terminated, truncated, _ = env.step(action)
        if not hasattr(env, "num_envs") and (terminated or truncated):
            env.reset()
    parts = {"all": 1 / speed, "environment": (time.perf_counter() - begin) / steps, "products": products / steps}
    share = (parts["environment"] + parts["products"]) / parts["all"]
    return {"microseconds": {name: round(1e6 * value, 1) for name, value in parts.items()}, "share": round(share, 2)}


def a3c() -> dict:
    """Steps per second of the workers, without evaluations and the seconds that processes take to start, in turn."""
    rooms, cores = load("A3C"), os.cpu_count()
    speeds = {1: [], cores: []}
    with importable("A3C", rooms):
        for _ in range(5):
            for n in speeds:
                rooms.main.N_WORKERS = n
                agent = rooms.main.make_agent(rooms.main.make_env(), 0).share()
                with contextlib.closing(rooms.workers.reports(rooms.main.work, n, agent, 0)) as reports:
                    while not (agent.steps > 2000).all():
                        next(reports)
                    begin, before, end = time.perf_counter(), agent.steps.sum().item(), 0.0
                    while end - begin < 10.0:
                        next(reports)
                        end = time.perf_counter()
                    speeds[n].append((agent.steps.sum().item() - before) / (end - begin))
    ratio = np.median([many / one for one, many in zip(*speeds.values(), strict=True)])
    result = {f"{n} workers": round(float(np.median(values))) for n, values in speeds.items()}
    return {"steps_per_second": result, "ratio": round(float(ratio), 2), "rounds": 5}


def dppo() -> dict:
    """Steps per second of DPPO's workers, without evaluations and the seconds that processes take to start, in turn.

    The last row is a bound: as many workers that do all the same, but do not wait for each other nor average anything.
    """
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as scratch:
        apart = changed.copy("DPPO", Path(scratch), {})
        agent = (apart / "agent.py").read_text()
        assert agent.count("    if dist.is_initialized():\n        dist.all_reduce(") == 1
        (apart / "agent.py").write_text(
            agent.replace("    if dist.is_initialized():\n        dist.all", "    if False:\n        dist.all")
        )
        sides = {"1 worker": ("DPPO", 1), f"{cores} workers": ("DPPO", cores), "apart": (str(apart), cores)}
        speeds = {name: [] for name in sides}
        for _ in range(5):
            for name, (folder, n) in sides.items():
                rooms = load(folder)
                main, main.EVAL_EVERY = rooms.main, 10**12
                steps = n * 20 * main.N_ENVS * main.N_STEPS
                with tempfile.TemporaryDirectory() as path:
                    run = rooms.harness.Run(main, 0, steps, Path(path))
                    run.restore = functools.partial(clocked, run, run.restore)
                    rooms.workers.together(n)(main.train.__wrapped__)(run, 0, steps)
                    speeds[name].append(steps / (time.perf_counter() - run.begin))
    one, *others = speeds.values()
    ratio, bound = (round(float(np.median(np.divide(many, one))), 2) for many in others)
    result = {name: round(float(np.median(values))) for name, values in speeds.items()}
    return {"steps_per_second": result, "ratio": ratio, "bound": bound, "rounds": 5}


def clocked(run, restore, agent):
    """What a run does with a new agent, and the time at which it was done: the training begins."""
    agent, run.begin = restore(agent), time.perf_counter()
    return agent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["dqn", "per", "a2c", "a3c", "ppo", "trpo", "dppo", "ddpg", "td3", "sac"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {"machine": machine(), **globals()[args.what]()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"speed-{args.what}.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
