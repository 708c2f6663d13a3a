"""Prioritised replay and the dueling network, each on a small task that it was made for.

    python benchmarks/made_for.py [--seeds 5] [--first 20] [--draw]

The blind cliff walk (Schaul et al. 2016, figure 1): n states in a row and two actions. One of them leads on, the other
ends the episode. Only the end of the row has a reward, 1. The memory holds every sequence of actions once, so that of
2^(n + 1) - 2 transitions one has a reward.

The corridor (after Wang et al. 2016, section 4.1): ten states in a row, and a reward of 1 behind the last. One action
leads to the left, one to the right, and all others do nothing. The memory holds every transition once.

What is counted are the updates after which the mean squared error of all action values is below 0.001, against the
exact values. Nothing is explored. The agents are those of the folders, with small networks and a constant learning
rate. Writes benchmarks/results/made_for.json, DQNwithPER/cliff-walk.svg and DuelingDQN/corridor.svg. --draw: only draw.
"""

import argparse
import copy
import itertools
import json
import statistics
import sys
from typing import NamedTuple

import numpy as np
import torch
from common import RESULTS, ROOT, machine
from curves import COLOURS, LINES
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

DQN, PER, DUELING = "DeepQLearningNetwork(DQN)", "DQNwithPER", "DuelingDQN"
SETTINGS = {"hidden": 32, "learning_rate": 1e-3, "learning_steps": 1e12, "batch_size": 32, "huber_delta": 1.0}
SETTINGS |= {"epsilon_start": 1.0, "epsilon_end": 1.0, "epsilon_steps": 1.0, "double_q": True}
CLIFF_WALK = {  # folder, and settings other than its own
    "DQN": (DQN, {}),
    "α = 0.4, β = 0.4": (PER, {}),
    "α = 1, β = 0.4": (PER, {"per_alpha": 1.0}),
    "α = 1, β = 1": (PER, {"per_alpha": 1.0, "per_beta": 1.0}),
}
CORRIDOR = {"DQN": (DQN, False), "dueling": (DUELING, False), "dueling, a hidden layer in each head": (DUELING, True)}
STATES, ACTIONS = (4, 6, 8, 10, 12), (2, 5, 10, 20)
ENOUGH, MOST = 1e-3, 50_000  # the error at which values count as learned, and the most updates


class Task(NamedTuple):
    """All transitions, as the memory takes them, and the exact action values [states, actions]."""

    transitions: list[tuple]
    values: np.ndarray
    gamma: float


def cliff_walk(n: int, rng: np.random.Generator) -> Task:
    """The episodes come in a random order, as does what the right action is in each state."""
    right, seen, gamma = rng.integers(2, size=n), np.eye(n, dtype=np.float32), 1 - 1 / n
    episodes = []
    for actions in itertools.product((0, 1), repeat=n):
        episode = []
        for state, action in enumerate(actions):
            fell, last = action != right[state], state == n - 1
            episode.append((seen[state], action, float(last and not fell), seen[min(state + 1, n - 1)], fell or last))
            if fell:
                break
        episodes.append(episode)
    values = np.zeros((n, 2))
    values[np.arange(n), right] = gamma ** (n - 1 - np.arange(n))
    return Task([step for i in rng.permutation(len(episodes)) for step in episodes[i]], values, gamma)


def corridor(n_actions: int, length: int = 10, gamma: float = 0.9) -> Task:
    """Action 0 leads to the left, action 1 to the right."""
    seen, transitions = np.eye(length, dtype=np.float32), []
    values = np.zeros((length, n_actions))
    for state in range(length):
        for action in range(n_actions):
            following = max(0, state + {0: -1, 1: 1}.get(action, 0))
            end = following == length
            transitions.append((seen[state], action, float(end), seen[min(following, length - 1)], end))
            values[state, action] = 1.0 if end else gamma ** (length - following)
    return Task(transitions, values, gamma)


def updates(folder: str, task: Task, seed: int, deep: bool = False, **settings: float) -> int | None:
    """How many updates the folder's agent needs; None if MOST are too few. deep: each head has a hidden layer."""
    rooms, (n_states, n_actions) = load(folder), task.values.shape
    own = {"per_alpha": rooms.main.PER_ALPHA, "per_beta": rooms.main.PER_BETA} if folder == PER else {}
    own |= {"gamma": task.gamma, "tau": rooms.main.TAU, "capacity": len(task.transitions), "seed": seed}
    agent = rooms.agent.Agent(n_states, n_actions, **(SETTINGS | own | settings))
    if deep:
        width, net = SETTINGS["hidden"], agent.q_net
        net.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), net.value)
        net.advantage = nn.Sequential(nn.Linear(width, width), nn.ReLU(), net.advantage)
        agent.target_net = copy.deepcopy(net).requires_grad_(False)
        agent.optimizer = torch.optim.Adam(net.parameters(), lr=SETTINGS["learning_rate"], fused=True)
    for transition in task.transitions:
        agent.replay.add(*transition)
    seen, values = torch.eye(n_states), torch.tensor(task.values, dtype=torch.float32)
    for count in range(1, MOST + 1):
        agent.learn()
        if count % 10 == 0:
            with torch.no_grad():
                if (agent.q_net(seen) - values).square().mean() < ENOUGH:
                    return count
    return None


def draw(path: str, results: dict[str, dict[str, list]], xlabel: str) -> None:
    """Medians over the seeds, from the lowest to the highest."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel=xlabel, ylabel="updates needed")
    for number, (name, of) in enumerate(results.items()):
        x, counts = [int(size) for size in of], [[count or MOST for count in counts] for counts in of.values()]
        middle = [statistics.median(count) for count in counts]
        axes.plot(x, middle, color=COLOURS[number], linestyle=LINES[number], marker="o", markersize=4, label=name)
        axes.fill_between(x, [*map(min, counts)], [*map(max, counts)], color=COLOURS[number], alpha=0.15)
    axes.set_xticks(x)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
    figure.savefig(ROOT / path, metadata={"Date": None})


def measure(seeds: range) -> dict:
    """The updates that each agent needs, on both tasks and with each seed."""
    walks = {name: {str(n): [] for n in STATES} for name in CLIFF_WALK}
    corridors = {name: {str(n): [] for n in ACTIONS} for name in CORRIDOR}
    for seed in tqdm(seeds):
        for n, (name, (folder, settings)) in itertools.product(STATES, CLIFF_WALK.items()):
            task = cliff_walk(n, np.random.default_rng(seed))
            walks[name][str(n)].append(updates(folder, task, seed, **settings))
        for n, (name, (folder, deep)) in itertools.product(ACTIONS, CORRIDOR.items()):
            corridors[name][str(n)].append(updates(folder, corridor(n), seed, deep))
    return {"machine": machine(), "seeds": [*seeds], "blind cliff walk": walks, "corridor": corridors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=20, help="the first seed")
    parser.add_argument("--draw", action="store_true", help="only draw")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "made_for.json"
    if not args.draw:
        path.write_text(json.dumps(measure(range(args.first, args.first + args.seeds)), indent=1, ensure_ascii=False))
    kept = json.loads(path.read_text())
    walks, corridors = kept["blind cliff walk"], kept["corridor"]
    draw("DQNwithPER/cliff-walk.svg", walks, "states n")
    draw("DuelingDQN/corridor.svg", corridors, "actions")
    for results in (walks, corridors):
        for name, of in results.items():
            print(f"{name:40}", *(f"{statistics.median(c or MOST for c in counts):8,.0f}" for counts in of.values()))


if __name__ == "__main__":
    main()
