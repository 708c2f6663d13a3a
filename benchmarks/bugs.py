"""The gallery of bugs of chapter 5: each mistake made in a copy of a folder, trained beside the right one, and caught.

    python benchmarks/bugs.py [BUG ...] [--seeds 3] [--first 20] [--jobs 2] [--runs DIR] [--draw]
    python benchmarks/bugs.py [BUG ...] --caught

BUGS names all of them: the folder, the settings for both sides, the line that is right and the one that is wrong, and
the test that finds it. Writes benchmarks/results/bugs.csv and notes/bugs.svg. With --runs the runs stay in DIR, and the
same command goes on where it was stopped. --caught runs the tests against the mistakes and trains nothing.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import common
import curves
from ablations import copied
from common import ROOT
from matplotlib.figure import Figure

DQN, DDPG, PG = "DeepQLearningNetwork(DQN)", "DeepDeterministicPolicyGradient", "PolicyGradient(PG)"
DETACHED = """        with torch.no_grad():
            td_target = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs)
            advantage = td_target - value  # the TD error
"""
ATTACHED = """        td_target = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs)
        advantage = (td_target - value).detach()
"""
FINAL = '            next_obs[done] = np.stack(info["final_obs"][done])\n'
JUDGED = "            reward[chosen], terminated[chosen] = self.judge(next_obs[chosen, self.achieved], goal)\n"
TD_ERROR = "            advantage = td_target - value  # the TD error\n"
NORMALISED = TD_ERROR + (
    "            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)\n"
)


class Bug(NamedTuple):
    """One mistake: `right` stands in the folder's `file`, `wrong` is put in its place."""

    folder: str
    settings: dict  # of both sides
    file: str
    right: str
    wrong: str
    test: str  # a file of the tests and the words that choose the test


BUGS = {
    "truncated for terminated": Bug(
        "ActorCritic", {}, "main.py",
        "agent.rollout.add(obs, action, reward, next_obs, terminated)",
        "agent.rollout.add(obs, action, reward, next_obs, truncated)",
        "test_loops.py hands_on_what_happened",
    ),
    "target not detached": Bug(
        "ActorCritic", {}, "agent.py", DETACHED, ATTACHED, "test_policy.py actor_critic_by_hand",
    ),
    "sign": Bug(
        PG, {}, "agent.py", "loss = -(advantage * log_prob).mean()", "loss = (advantage * log_prob).mean()",
        "test_policy.py reinforce_by_hand",
    ),
    "softmax over the wrong axis": Bug(
        PG, {}, "agent.py", "F.log_softmax(self.actor(batch.obs), dim=-1)",
        "F.log_softmax(self.actor(batch.obs), dim=0)",
        "test_policy.py reinforce_by_hand",
    ),
    "[batch] against [batch, 1]": Bug(
        DDPG, {}, "model.py", "return self.q(torch.cat([obs, action], dim=-1)).squeeze(-1)",
        "return self.q(torch.cat([obs, action], dim=-1))", "test_ddpg.py plain_loops",
    ),
    "no target network": Bug(
        DDPG, {}, "agent.py", "*self.critic.parameters()], self.tau)",
        "*self.critic.parameters()], 1.0)", "test_ddpg.py plain_loops",
    ),
    "ε that never falls": Bug(
        DQN, {"ENV_ID": "CartPole-v1", "TOTAL_STEPS": 50_000, "SOLVED_SCORE": 475.0}, "agent.py",
        "fraction = min(1.0, self.actions / self.epsilon_steps)", "fraction = 0.0", "test_dqn.py test_schedules",
    ),
    "learning rate ten times too high": Bug(
        "A2C", {}, "main.py", "LEARNING_RATE = 1e-3", "LEARNING_RATE = 1e-2", "test_policy.py test_probe_environments",
    ),
    "clipped action stored": Bug(
        "PPO", {"TOTAL_STEPS": 102_400, "EVAL_EPISODES": 20}, "main.py", "add(obs, action, REWARD_SCALE",
        "add(obs, action.clip(*agent.box), REWARD_SCALE", "test_loops.py hands_on_what_happened",
    ),
    "the next episode's first observation": Bug(
        "PPO", {"ENV_ID": "Pendulum-v1", "TOTAL_STEPS": 102_400, "SOLVED_SCORE": -170.0, "EVAL_EPISODES": 20},
        "main.py", FINAL, "",
        "test_loops.py hands_on_what_happened",
    ),
    "rewards not computed anew": Bug(
        "DQNwithHER", {"ENV_SETTINGS": {"n_bits": 15, "max_episode_steps": 15}, "TOTAL_STEPS": 10_000},
        "replay.py", JUDGED, "",
        "test_her.py rewards_and_ends_are_right",
    ),
    "one sample normalised": Bug(
        "ActorCritic", {"UPDATE_STEPS": 1, "TOTAL_STEPS": 20_000}, "agent.py", TD_ERROR, NORMALISED,
        "test_policy.py actor_critic_by_hand",
    ),
}  # fmt: skip
RIGHT, WRONG = "right", "wrong"


def make(bug: Bug, side: str, path: Path) -> Path:
    """The folder in `path`, on this side of the mistake."""
    return copied(bug.folder, path, [bug.settings, *([(bug.file, bug.right, bug.wrong)] if side == WRONG else [])])


def scores(name: str, side: str) -> str:
    """The final scores of all seeds, as chapter 5 shows them."""
    found = [row.value for row in common.read("bugs", f"{name}: {side}") if row.tag == "score"]
    return ", ".join(f"{score:.{0 if max(map(abs, found)) > 2 else 2}f}" for score in found)


def measure(names: list[str], seeds: range, jobs: int, base: Path) -> None:
    """Train both sides of each mistake; a run that stops with an error has no rows, and its error is printed."""
    sides = [(name, side, base / str(list(BUGS).index(name)) / side) for name in names for side in (RIGHT, WRONG)]
    places = {str(make(BUGS[name], side, path)): (name, side) for name, side, path in sides}
    rows = {}
    for place, seed, result, path in common.run_all([(place, seed) for place in places for seed in seeds], jobs):
        name, side = places[place]
        print(f"{name}, {side}, seed {seed}: {result['score']:.2f}, {result['seconds']} s", flush=True)
        rows.setdefault((name, side), []).extend(common.rows_of("bugs", f"{name}: {side}", seed, result, path))
        if seed == seeds[-1]:
            common.write("bugs", f"{name}: {side}", rows[name, side])


def draw() -> None:
    """notes/bugs.svg: a small picture for each mistake, with the score of both sides without exploration.

    A run of DQN has too few evaluations; there it is the return while exploring.
    """
    figure = Figure(figsize=(11, 11), layout="constrained")
    for axes, (number, (name, bug)) in zip(figure.subplots(4, 3).flat, enumerate(BUGS.items(), 1), strict=True):
        for colour, side in enumerate((RIGHT, WRONG)):
            variant = f"{name}: {side}"
            evaluations = {row.env_steps for row in common.read("bugs", variant) if row.tag == "eval/score"}
            tag = "eval/score" if len(evaluations) > 2 else "episode/return"  # where a run has too few evaluations
            grid, middle, band = curves.lines("bugs", tag, variant=variant)
            if len(grid):
                curves.draw_line(axes, colour, side, grid / 1000, middle, band)
        axes.set_title(f"{number}. {name}", fontsize=10)
        axes.set_xlabel(
            f"thousand steps of {bug.folder.rpartition('(')[2].rstrip(')').replace(DDPG, 'DDPG')}", fontsize=9
        )
    figure.axes[0].legend(fontsize=9)
    figure.savefig(ROOT / "notes" / "bugs.svg", metadata={"Date": None})


def caught(name: str) -> bool:
    """Whether the test fails in a copy of the repository with this mistake, and passes in one without it."""
    bug, outcomes = BUGS[name], []
    for side in (RIGHT, WRONG):
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "repository"
            leave_out = shutil.ignore_patterns(".venv", ".git", "build", "runs", "__pycache__")
            shutil.copytree(ROOT, copy, ignore=leave_out)
            file = copy / bug.folder / bug.file
            assert file.read_text().count(bug.right) == 1, f"{name}: not once in {bug.folder}/{bug.file}"
            if side == WRONG:
                file.write_text(file.read_text().replace(bug.right, bug.wrong))
            where, what = bug.test.split()
            choice = f"{what} and {bug.folder}" if bug.folder not in (DQN, DDPG, PG) else what
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{where}", "-k"]
            found = subprocess.run([*command, choice], cwd=copy, capture_output=True, text=True)
            if found.returncode == 5:  # the test is of one folder, and does not name it
                found = subprocess.run([*command, what], cwd=copy, capture_output=True, text=True)
            outcomes.append(found.returncode)
    return outcomes == [0, 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bugs", nargs="*", default=list(BUGS), metavar="BUG", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=20, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--draw", action="store_true", help="only draw")
    parser.add_argument("--caught", action="store_true", help="run the tests against the mistakes")
    args = parser.parse_args()
    if unknown := [name for name in args.bugs if name not in BUGS]:
        parser.error(f"no such bug: {', '.join(unknown)}")
    if args.caught:
        found = {name: caught(name) for name in args.bugs}
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0 if all(found.values()) else 1
    if not args.draw:
        with tempfile.TemporaryDirectory() as scratch:
            seeds = range(args.first, args.first + args.seeds)
            measure(args.bugs, seeds, args.jobs, (args.runs or Path(scratch)).resolve())
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
