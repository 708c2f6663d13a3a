"""What each piece of an algorithm is worth: pieces turned off, settings halved and doubled.

    python benchmarks/ablations.py [FOLDER ...] [--only VARIANT] [--seeds 5] [--first 20] [--jobs 2] [--runs DIR]
    python benchmarks/ablations.py [FOLDER ...] --list

VARIANTS names all of them: constants of main.py with other values, or lines of the folder with others in their place,
so that each can be made by hand. A variant is trained in a copy of the folder, with the seeds of the folder "as it is".
Its rows go into benchmarks/results/FOLDER.csv. The table printed has the median, worst and best scores, and the first
step at which an evaluation was at the bar (the median over the seeds). With --runs the runs stay in DIR, and the same
command goes on where it was stopped. --list prints the table of what there is.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import common
from common import FOLDERS, ROOT, rows_of
from tqdm import tqdm

sys.path.insert(0, str(ROOT / "tests"))
import changed

AS_IT_IS = "as it is"
DQN, DDPG, PG = "DeepQLearningNetwork(DQN)", "DeepDeterministicPolicyGradient", "PolicyGradient(PG)"
CONSTANT_ALPHA = [
    ("agent.py", "return self.alpha_start * max(0.0, 1 - self.updates / self.alpha_steps)", "return self.alpha_start")
]
NO_LAYER_NORM = [("model.py", "nn.LayerNorm(hidden), ", "")]
NO_TARGETS = {"TAU": 1.0}
Q_SETTINGS = {
    "no target network (τ = 1)": NO_TARGETS,
    "single Q": {"DOUBLE_Q": False},
    "no layer normalisation": NO_LAYER_NORM,
    "κ = 1": {"HUBER_DELTA": 1.0},
}
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
        "learning rate halved": {"LEARNING_RATE": 2.5e-3},
        "learning rate doubled": {"LEARNING_RATE": 1e-2},
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
        "learning rate halved": {"LEARNING_RATE": 5e-4},
        "learning rate doubled": {"LEARNING_RATE": 2e-3},
    },
    "A2C": {
        "n = 1": {"N_STEPS": 1},
        "n = 20": {"N_STEPS": 20},
        "one environment": {"N_ENVS": 1},
        "one environment, n = 40": {"N_ENVS": 1, "N_STEPS": 40},
        "no entropy bonus": {"ENTROPY_COEF": 0.0},
        "λ = 0.95": {"GAE_LAMBDA": 0.95},
    },
    "A3C": {"one worker": {"N_WORKERS": 1}, "two workers": {"N_WORKERS": 2}},
    "TRPO": {
        "δ = 0.005": {"DELTA": 0.005},
        "δ = 0.02": {"DELTA": 0.02},
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
        "advantages not normalised": [
            (
                "agent.py",
                "            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)\n",
                "",
            )
        ],
    },
    "DPPO": {"one worker, the same batch": {"N_WORKERS": 1, "N_ENVS": 32, "MINIBATCH_SIZE": 256}},
    DDPG: {
        "Ornstein-Uhlenbeck noise": {"NOISE": "ou"},
        "no target networks (τ = 1)": NO_TARGETS,
        "no exploration noise": {"NOISE_SIGMA": 0.0},
        "σ = 0.3": {"NOISE_SIGMA": 0.3},
    },
    "TD3": {
        "one critic": [("agent.py", ".amin(dim=0)", "[0]")],
        "no delay": {"POLICY_DELAY": 1},
        "no noise on target actions": {"TARGET_SIGMA": 0.0},
        "none of the three": [("agent.py", ".amin(dim=0)", "[0]"), {"POLICY_DELAY": 1, "TARGET_SIGMA": 0.0}],
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


def summary(folder: str) -> None:
    """Print what was measured of a folder's variants."""
    print(f"\n{folder:36}{'median':>10}{'worst':>10}{'best':>10}{'at the bar after':>18}{'of':>10}")
    for name in common.variants(folder):
        if name.endswith(".py"):
            continue
        rows, bar = common.read(folder, name), common.bar(folder)
        scores = [row.value for row in rows if row.tag == "score"]
        reached = [
            min(
                (row.env_steps for row in rows if row.tag == "eval/score" and row.seed == seed and row.value >= bar),
                default=None,
            )
            for seed in {row.seed for row in rows}
        ]
        known = [steps for steps in reached if steps is not None]
        steps = statistics.median_high([steps or float("inf") for steps in reached])
        row = f"{name:36}{statistics.median(scores):10.2f}{min(scores):10.2f}{max(scores):10.2f}"
        print(f"{row}{steps:18,}{f'{len(known)} / {len(reached)}':>10}")


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
        for (folder, name, _, seed), (_, _, result, path) in tqdm(zip(tasks, results, strict=True), total=len(tasks)):
            rows.setdefault((folder, name), []).extend(rows_of(folder, name, seed, result, path))
            if seed == args.first + args.seeds - 1:
                common.write(folder, name, rows[folder, name])
    for folder in args.folders:
        summary(folder)


if __name__ == "__main__":
    main()
