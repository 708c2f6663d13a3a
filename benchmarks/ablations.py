"""What each piece of an algorithm is worth: pieces turned off, settings halved and doubled.

    python benchmarks/ablations.py [FOLDER ...] [--only VARIANT] [--seeds 5] [--first 20] [--jobs 2] [--runs DIR]
    python benchmarks/ablations.py [FOLDER ...] --list

VARIANTS names all of them: constants of main.py with other values, or lines of the folder with others in their place,
so that each can be made by hand. A variant is trained in a copy of the folder, with the seeds of the folder "as it is".
Its rows go into benchmarks/results/FOLDER.csv. The table printed has the median, worst and best scores, and the first
step at which an evaluation was at the bar (the median over the seeds). DDPG and TD3 also say by how much their critic
overestimates the discounted return. With --runs the runs stay in DIR, and the same
command goes on where it was stopped. --list prints the table of what there is.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
import torch
from common import FOLDERS, ROOT, rows_of
from tqdm import tqdm

sys.path.insert(0, str(ROOT / "tests"))
import changed
from folders import load

AS_IT_IS = "as it is"
EXCESS = "overestimation"  # tag of what `overestimation` returns
DQN, DDPG, PG = "DeepQLearningNetwork(DQN)", "DeepDeterministicPolicyGradient", "PolicyGradient(PG)"
CONSTANT_ALPHA = [
    ("agent.py", "return self.alpha_start * max(0.0, 1 - self.updates / self.alpha_steps)", "return self.alpha_start")
]
NO_LAYER_NORM = [
    ("model.py", "[nn.Linear(obs_dim, hidden), nn.LayerNorm(hidden), ", "[nn.Linear(obs_dim, hidden), "),
    ("model.py", "[nn.Linear(hidden, hidden), nn.LayerNorm(hidden), ", "[nn.Linear(hidden, hidden), "),
]
NO_TARGETS = {"TAU": 1.0}
Q_SETTINGS = {
    "no target network (τ = 1)": NO_TARGETS,
    "single Q": {"DOUBLE_Q": False},
    "no layer normalisation": NO_LAYER_NORM,
    "κ = 1": {"HUBER_DELTA": 1.0},
}


def rates(rate: float, *names: str) -> dict[str, dict[str, float]]:
    """Two variants: these learning rates, which are `rate` in main.py, halved and doubled."""
    return {
        "learning rate halved": dict.fromkeys(names or ["LEARNING_RATE"], rate / 2),
        "learning rate doubled": dict.fromkeys(names or ["LEARNING_RATE"], rate * 2),
    }


BOTH = ("ACTOR_LEARNING_RATE", "CRITIC_LEARNING_RATE")
VARIANTS: dict[str, dict[str, dict | list]] = {
    "QLearning": {
        "α constant": CONSTANT_ALPHA,
        "ε = 0.01": {"EPSILON": 0.01},
        "ε = 0.3": {"EPSILON": 0.3},
        "α = 0.25": {"ALPHA": 0.25},
        "α = 1": {"ALPHA": 1.0},
    },
    "Sarsa": {
        "α constant": CONSTANT_ALPHA,
        "ε = 0.01": {"EPSILON": 0.01},
        "ε = 0.3": {"EPSILON": 0.3},
        "α = 0.25": {"ALPHA": 0.25},
        "α = 1": {"ALPHA": 1.0},
    },
    "SarsaLambda": {
        "λ = 0": {"LAMBDA": 0.0},
        "λ = 0.5": {"LAMBDA": 0.5},
        "λ = 0.9": {"LAMBDA": 0.9},
        "λ = 1": {"LAMBDA": 1.0},
        "accumulating traces": {"TRACE": "accumulating"},
        "dutch traces": {"TRACE": "dutch"},
        "λ = 0.9, accumulating": {"LAMBDA": 0.9, "TRACE": "accumulating"},
        "λ = 0.9, dutch": {"LAMBDA": 0.9, "TRACE": "dutch"},
    },
    DQN: {
        "no replay (the newest 256 steps)": {"CAPACITY": 256},
        **Q_SETTINGS,
        "memory of all steps": {"CAPACITY": 300_000},
        **rates(2e-3),
    },
    "DuelingDQN": {
        "a hidden layer in each head": [
            (
                "model.py",
                "nn.Linear(hidden, 1)",
                "nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))",
            ),
            (
                "model.py",
                "nn.Linear(hidden, n_actions)",
                "nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_actions))",
            ),
        ],
    },
    "DQNwithPER": {
        "α = 0 (uniform)": {"PER_ALPHA": 0.0},
        "α = 1": {"PER_ALPHA": 1.0},
        "β = 1 from the start": {"PER_BETA": 1.0},
    },
    PG: {
        "no baseline": [
            ("agent.py", "advantage = (returns - returns.mean()) / (returns.std() + 1e-8)", "advantage = returns")
        ],
        "rewards of the whole episode": [
            (
                "agent.py",
                "        advantage = (returns - returns.mean())",
                "        first = torch.cat([torch.ones(1), batch.done[:-1]]).bool()  # steps that begin an episode\n"
                "        returns = returns[first][first.cumsum(0) - 1]\n"
                "        advantage = (returns - returns.mean())",
            )
        ],
        **rates(5e-3),
        "500 steps in one update": {"UPDATE_STEPS": 500},
        "2,000 steps in one update": {"UPDATE_STEPS": 2_000},
    },
    "ActorCritic": {
        "target not detached": [
            (
                "agent.py",
                "        with torch.no_grad():\n"
                "            td_target = batch.reward + self.gamma * (1 - batch.terminated) "
                "* self.critic(batch.next_obs)\n            advantage = td_target - value  # the TD error\n",
                "        td_target = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs)\n"
                "        advantage = (td_target - value).detach()\n",
            )
        ],
        "1 step in one update": {"UPDATE_STEPS": 1},
        "16 steps in one update": {"UPDATE_STEPS": 16},
        **rates(1e-3),
    },
    "A2C": {
        "n = 1": {"N_STEPS": 1},
        "n = 20": {"N_STEPS": 20},
        "one environment": {"N_ENVS": 1},
        "one environment, n = 40": {"N_ENVS": 1, "N_STEPS": 40},
        "no entropy bonus": {"ENTROPY_COEF": 0.0},
        "λ = 0.95": {"GAE_LAMBDA": 0.95},
        **rates(1e-3),
    },
    "A3C": {"one worker": {"N_WORKERS": 1}, "two workers": {"N_WORKERS": 2}},
    "TRPO": {
        "σ = 1 at first": {"LOG_STD": 0.0},
        "λ = 0.98": {"GAE_LAMBDA": 0.98},
        "rewards not scaled": {"REWARD_SCALE": 1.0},
        "δ = 0.01": {"DELTA": 0.01},
        "δ = 0.04": {"DELTA": 0.04},
        "no line search": [("agent.py", "if gain > 0 and kl <= self.delta:", "if True:")],
        "plain gradient, as far as δ allows": [
            ("agent.py", "x = conjugate_gradients(fisher_product, g, self.cg_steps)", "x = g")
        ],
    },
    "PPO": {
        "no clip": {"CLIP": 1e6},
        "1 epoch": {"N_EPOCHS": 1},
        "30 epochs": {"N_EPOCHS": 30},
        "λ = 0": {"GAE_LAMBDA": 0.0},
        "λ = 1": {"GAE_LAMBDA": 1.0},
        "γ = 0.99": {"GAMMA": 0.99},
        "rewards not scaled": {"REWARD_SCALE": 1.0},
        **rates(1e-3),
        "no entropy bonus": {"ENTROPY_COEF": 0.0},
        "no entropy bonus, σ = 0.5 at first": {"ENTROPY_COEF": 0.0, "LOG_STD": -0.7},
        "advantages not normalised": [
            (
                "agent.py",
                "            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)\n",
                "",
            )
        ],
    },
    "DPPO": {"one worker, the same batch": {"N_WORKERS": 1, "N_ENVS": 32, "MINIBATCH_SIZE": 256}, **rates(2e-3)},
    DDPG: {
        "Ornstein-Uhlenbeck noise": {"NOISE": "ou"},
        "no target networks (τ = 1)": NO_TARGETS,
        "no exploration noise": {"NOISE_SIGMA": 0.0},
        "σ = 0.3": {"NOISE_SIGMA": 0.3},
        **rates(1e-3, *BOTH),
    },
    "TD3": {
        "one critic": [("agent.py", ".amin(dim=0)", "[0]")],
        "no delay": {"POLICY_DELAY": 1},
        "no noise on target actions": {"TARGET_SIGMA": 0.0},
        "none of the three": [("agent.py", ".amin(dim=0)", "[0]"), {"POLICY_DELAY": 1, "TARGET_SIGMA": 0.0}],
        **rates(1e-3, *BOTH),
    },
    "SAC": {
        "one critic": [
            (
                "agent.py",
                "next_value = self.target_critic(batch.next_obs, next_action).amin(dim=0)",
                "next_value = self.target_critic(batch.next_obs, next_action)[0]",
            ),
            (
                "agent.py",
                "value = self.critic(batch.obs, action).amin(dim=0)",
                "value = self.critic(batch.obs, action)[0]",
            ),
        ],
        "α fixed at 0.2": [
            ("model.py", "torch.zeros(())", "torch.tensor(0.2).log()"),
            ("agent.py", "        self.temperature_optimizer.step()\n", ""),
        ],
        "α fixed at 0.01": [
            ("model.py", "torch.zeros(())", "torch.tensor(0.01).log()"),
            ("agent.py", "        self.temperature_optimizer.step()\n", ""),
        ],
        "no entropy (α = 0)": [("model.py", "return self.log_alpha.exp()", "return 0.0 * self.log_alpha")],
        **rates(1e-3, *BOTH),
    },
    "DQNwithHER": {
        "without hindsight": {"HER": False},
        "k = 1": {"HER_K": 1},
        "k = 8": {"HER_K": 8},
        "final for future": [
            (
                "replay.py",
                "future = self.rng.integers(number, np.minimum(self.ends[number % len(self.ends)], self.added))",
                "future = np.minimum(self.ends[number % len(self.ends)], self.added) - 1",
            )
        ],
    },
    "DDPGwithHER": {
        "without hindsight": {"HER": False},
        "k = 1": {"HER_K": 1},
        "k = 8": {"HER_K": 8},
        "final for future": [
            (
                "replay.py",
                "future = self.rng.integers(number, np.minimum(self.ends[number % len(self.ends)], self.added))",
                "future = np.minimum(self.ends[number % len(self.ends)], self.added) - 1",
            )
        ],
    },
    "DIAYN": {
        "α = 0.01": {"ALPHA": 0.01},
        "α = 1": {"ALPHA": 1.0},
        "5 skills": {"N_SKILLS": 5},
        "20 skills": {"N_SKILLS": 20},
    },
}

CHINESE = {
    AS_IT_IS: "原样",
    "α constant": "α 不变",
    "accumulating traces": "累积迹",
    "dutch traces": "荷兰迹",
    "λ = 0.9, accumulating": "λ = 0.9，累积迹",
    "λ = 0.9, dutch": "λ = 0.9，荷兰迹",
    "no replay (the newest 256 steps)": "没有回放（只有最新的 256 步）",
    "no target network (τ = 1)": "没有目标网络（τ = 1）",
    "no target networks (τ = 1)": "没有目标网络（τ = 1）",
    "single Q": "不用 Double DQN",
    "no layer normalisation": "没有层归一化",
    "memory of all steps": "记忆容纳所有步",
    "a hidden layer in each head": "每个头里有一个隐藏层",
    "α = 0 (uniform)": "α = 0（均匀抽样）",
    "β = 1 from the start": "β 从一开始就是 1",
    "no baseline": "没有基线",
    "rewards of the whole episode": "用整个回合的奖励",
    "learning rate halved": "学习率减半",
    "learning rate doubled": "学习率加倍",
    "500 steps in one update": "每次更新 500 步",
    "2,000 steps in one update": "每次更新 2,000 步",
    "target not detached": "目标没有截断梯度",
    "1 step in one update": "每次更新 1 步",
    "16 steps in one update": "每次更新 16 步",
    "one environment": "一个环境",
    "one environment, n = 40": "一个环境，n = 40",
    "no entropy bonus": "没有熵奖励",
    "no entropy bonus, σ = 0.5 at first": "没有熵奖励，初始 σ = 0.5",
    "one worker": "一个工作者",
    "two workers": "两个工作者",
    "σ = 1 at first": "初始 σ = 1",
    "no line search": "没有线搜索",
    "plain gradient, as far as δ allows": "普通梯度，走到 δ 允许的长度",
    "no clip": "不截断",
    "1 epoch": "1 轮",
    "30 epochs": "30 轮",
    "advantages not normalised": "优势不归一化",
    "rewards not scaled": "奖励不缩小",
    "one worker, the same batch": "一个工作者，批量相同",
    "Ornstein-Uhlenbeck noise": "Ornstein-Uhlenbeck 噪声",
    "no exploration noise": "没有探索噪声",
    "one critic": "一个评论家",
    "no delay": "不延迟",
    "no noise on target actions": "目标动作没有噪声",
    "none of the three": "三者都没有",
    "α fixed at 0.2": "α 固定为 0.2",
    "α fixed at 0.01": "α 固定为 0.01",
    "no entropy (α = 0)": "没有熵（α = 0）",
    "without hindsight": "没有事后经验",
    "final for future": "用 final 代替 future",
    "5 skills": "5 种技能",
    "20 skills": "20 种技能",
}


def copied(folder: str, path: Path, variant: dict | list) -> Path:
    """The folder in `path`, with this variant made."""
    changes = variant if isinstance(variant, list) else [variant]
    constants = {name: value for change in changes if isinstance(change, dict) for name, value in change.items()}
    new = changed.copy(folder, path, constants)
    for file, old, put in (change for change in changes if not isinstance(change, dict)):
        text = (new / file).read_text()
        assert text.count(old) == 1, f"{folder}/{file} has {text.count(old)} times: {old}"
        (new / file).write_text(text.replace(old, put))
    return new


def overestimation(place: Path, path: Path) -> float:
    """By how much the first critic's values of the last agent are above the returns: mean of Q(s, a) - Σ γᵏ r.

    The states are those of ten episodes without exploration. Each is played on for 800 steps after its time limit,
    because the critic is not told of the limit.
    """
    rooms = load(str(place))
    agent, env = rooms.main.make_agent(rooms.main.make_env(), 0), rooms.main.make_env()
    agent.load_state_dict(rooms.checkpoint.load(path)["agent"])
    limit, endless, gaps = env.spec.max_episode_steps, env.unwrapped, []
    for seed in range(10):
        rewards, following = np.zeros(limit + 800), 0.0
        states = np.zeros((limit, *env.observation_space.shape), np.float32)
        obs, _ = endless.reset(seed=seed)
        for t in range(len(rewards)):
            if t < limit:
                states[t] = obs
            obs, rewards[t], *_ = endless.step(agent.act(obs, explore=False))
        for t in reversed(range(len(rewards))):
            rewards[t] = following = rewards[t] + rooms.main.GAMMA * following
        with torch.inference_mode():
            q = agent.critic(torch.from_numpy(states), agent.actor(torch.from_numpy(states)))
        gaps.append(q.reshape(-1, limit)[0].numpy() - rewards[:limit])
    return float(np.mean(gaps))


def reached(rows: list[common.Row], bar: float) -> list[float]:
    """For each seed the step of the first evaluation at the bar, or infinity."""
    evaluations = [row for row in rows if row.tag == "eval/score"]
    return [
        min((row.env_steps for row in evaluations if row.seed == seed and row.value >= bar), default=math.inf)
        for seed in dict.fromkeys(row.seed for row in rows)
    ]


def summary(folder: str) -> None:
    """Print what was measured of a folder's variants."""
    print(f"\n{folder:36}{'median':>10}{'worst':>10}{'best':>10}{'at the bar after':>18}{'of':>10}")
    for name in common.variants(folder):
        if name.endswith(".py"):
            continue
        rows, bar = common.read(folder, name), common.bar(folder)
        scores = [row.value for row in rows if row.tag == "score"]
        steps = reached(rows, bar)
        row = f"{name:36}{statistics.median(scores):10.2f}{min(scores):10.2f}{max(scores):10.2f}"
        known = sum(step < math.inf for step in steps)
        print(f"{row}{statistics.median_high(steps):18,}{f'{known} / {len(steps)}':>10}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=list(VARIANTS), metavar="FOLDER", help="default: all")
    parser.add_argument("--only", metavar="VARIANT")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=20, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--list", action="store_true", help="print what was measured, and run nothing")
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as scratch:
        base = (args.runs or Path(scratch)).resolve()
        todo = [
            (folder, name, base / folder / str(number))
            for folder in ([] if args.list else args.folders)
            for number, name in enumerate([AS_IT_IS, *VARIANTS.get(folder, {})])
            if args.only in (None, name)
        ]
        if args.only and not todo:
            parser.error(f"there is no variant {args.only}")
        tasks = []
        for folder, name, path in todo:
            place = copied(folder, path, {AS_IT_IS: {}, **VARIANTS.get(folder, {})}[name])
            tasks += [(folder, name, place, seed) for seed in range(args.first, args.first + args.seeds)]
        rows = {}
        results = common.run_all([(str(place), seed) for _, _, place, seed in tasks], args.jobs)
        for (folder, name, place, seed), (_, _, result, path) in tqdm(
            zip(tasks, results, strict=True), total=len(tasks)
        ):
            rows.setdefault((folder, name), []).extend(rows_of(folder, name, seed, result, path))
            if folder in (DDPG, "TD3"):
                excess, last = overestimation(place, path), rows[folder, name][-1]
                rows[folder, name].append(last._replace(seconds=None, tag=EXCESS, value=excess))
            if seed == args.first + args.seeds - 1:
                common.write(folder, name, rows[folder, name])
    for folder in args.folders:
        summary(folder)


if __name__ == "__main__":
    main()
