"""Speed against Stable-Baselines3, on the same machine in the same run, one thread each.

python benchmarks/speed.py dqn       LunarLander-v3 from start to trained agent, ours and theirs with its zoo's settings
python benchmarks/speed.py per       time of one update with uniform and with prioritised replay
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from common import RESULTS, ROOT, machine, run

sys.path.insert(0, str(ROOT / "tests"))
from folders import load


def dqn() -> dict:
    """Seconds and scores of a whole training, seed 0: ours, then Stable-Baselines3's."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.evaluation import evaluate_policy

    with tempfile.TemporaryDirectory() as scratch:
        ours = run("DeepQLearningNetwork(DQN)", 0, Path(scratch) / "run")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["dqn", "per"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {"machine": machine(), **globals()[args.what]()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"speed-{args.what}.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
