"""What each folder observes and does: any task that fits is learned from, and all others are refused in one line."""

import contextlib
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import changed
import gymnasium as gym
import gymnasium_robotics  # noqa: F401  # it says something on stderr when it is first imported
import lineage
import numpy as np
import pytest
import small
import torch
from changed import in_one_process, loaded, quick
from folders import DEEP, TABULAR, WITH_GOALS, leaves, load
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

FOLDERS = lineage.FOLDERS
CONTINUOUS = ["DeepDeterministicPolicyGradient", "TD3", "SAC", "DDPGwithHER", "DIAYN"]
EITHER = ["TRPO", "PPO", "DPPO"]  # which take both kinds of actions
DISCRETE = [folder for folder in FOLDERS if folder not in CONTINUOUS]
BOXES = [*EITHER, *CONTINUOUS]
WITHOUT_GOALS = [folder for folder in DEEP if folder not in WITH_GOALS]
STEPS = 60  # of a short run
THREE, TWO = small.three_numbers, Box(-1.0, 1.0, (2,), np.float32)
INF, NAN = np.inf, np.nan


@pytest.fixture(scope="module")
def rooms(request, tmp_path_factory):
    """The modules of the folder, with constants for short runs, and all in this process."""
    constants = (
        quick(request.param, N_STEPS=5) if "N_STEPS" in changed.constants_of(request.param) else quick(request.param)
    )
    constants |= {"ENV_SETTINGS": {}} if request.param == "DQNwithHER" else {}
    rooms = in_one_process(loaded(request.param, tmp_path_factory.mktemp("folder"), constants))
    rooms.harness.FINAL_EPISODES, rooms.folder = 2, request.param
    return rooms


def over(*folders):
    """Parametrise a test over these folders."""
    return pytest.mark.parametrize("rooms", folders, indirect=True)


def spaces_of(folder):
    """Spaces that fit the folder."""
    return Discrete(5) if folder in TABULAR else THREE, TWO if folder in CONTINUOUS else Discrete(2)


@pytest.fixture
def on(rooms, monkeypatch):
    """on(observations=..., ...): the folder's main.py has a small task from now on."""

    def use(observations=None, actions=None, task=None, limit=8, **settings):
        task = task or (small.Goals if rooms.folder in WITH_GOALS else small.Small)
        usual = spaces_of(rooms.folder)
        spaces = [usual[0] if observations is None else observations, usual[1] if actions is None else actions]
        name = small.register(lambda render_mode=None: task(*spaces, render_mode=render_mode, **settings), limit)
        monkeypatch.setattr(rooms.main, "ENV_ID", name)
        small.received.clear()
        return rooms

    return use


def train(rooms, path, steps=STEPS):
    """Train, evaluate, finish; the agent."""
    run = rooms.harness.Run(rooms.main, 0, steps, path)
    agent = rooms.main.train(run, 0, steps)
    run.finish()
    run.lock.release()
    assert run.step >= steps
    return agent


def refused(capsys, call, *words):
    """The call ends the program with status 2 and one line, in which these words are."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        call()
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line, line


# ---- what is taken

NUMBERS = {
    "float64": Box(-1.0, 1.0, (3,), np.float64),
    "float64 without bounds": Box(-INF, INF, (3,), np.float64),
    "float16": Box(-1.0, 1.0, (3,), np.float16),
    "uint8": Box(0, 255, (3,), np.uint8),
    "int64": Box(-5, 5, (3,), np.int64),
    "one number": Box(-1.0, 1.0, (1,), np.float32),
}


@over(*DEEP)
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_kind_are_learned_from(rooms, on, tmp_path, kind):
    on(observations=NUMBERS[kind])
    first = leaves(rooms.main.make_agent(rooms.main.make_env(), 0).state_dict())
    agent = train(rooms, tmp_path / "run")
    last = leaves(agent.state_dict())
    weights = [name for name in first if name.startswith((".q_net", ".actor.", ".critic.")) and name.endswith("weight")]
    assert any(not torch.equal(first[name], last[name]) for name in weights)
    assert all(last[name].dtype == torch.float32 for name in weights)
    env = rooms.main.make_env()
    obs, _ = env.reset(seed=1)
    np.testing.assert_array_equal(agent.act(obs, explore=False), agent.act(obs.astype(np.float32), explore=False))
    if hasattr(agent, "replay") and rooms.folder not in WITH_GOALS:
        stored = agent.replay.transitions["obs"][: len(agent.replay), : NUMBERS[kind].shape[0]]
        assert stored.dtype == np.float32
        assert stored.std(axis=0).all()
        assert kind not in ("uint8", "int64") or (stored == stored.round()).all()


@over(*WITH_GOALS)
@pytest.mark.parametrize("kind", ["float64", "uint8", "int64"])
def test_goals_of_any_kind_are_learned_from(rooms, on, tmp_path, kind):
    on(goals=NUMBERS[kind])
    agent = train(rooms, tmp_path / "run")
    assert agent.replay.transitions["obs"][: len(agent.replay)].std(axis=0).all()


@over(*WITHOUT_GOALS)
@pytest.mark.parametrize("start", [0, 7])
def test_a_state_is_a_row_of_zeros_with_one_1_to_networks(rooms, on, tmp_path, start):
    on(observations=Discrete(5, start=start))
    env = rooms.main.make_env()
    obs, _ = env.reset(seed=0)
    for _ in range(20):
        row = obs[:5]  # DIAYN's skill comes after it
        np.testing.assert_array_equal(row, np.arange(start, start + 5) == env.unwrapped.obs)
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            obs, _ = env.reset()
    agent = train(rooms, tmp_path / "run")
    inputs = next(v for name, v in leaves(agent.state_dict()).items() if getattr(v, "ndim", 0) == 2).shape[1]
    assert inputs == env.observation_space.shape[0]


@over(*TABULAR)
@pytest.mark.parametrize("start", [-2, 0, 7])
def test_states_of_a_table_are_counted_from_0(rooms, on, tmp_path, start):
    on(observations=Discrete(5, start=start))
    env = rooms.main.make_env()
    assert env.observation_space == Discrete(5)
    obs, _ = env.reset(seed=0)
    for _ in range(5):
        assert obs == env.unwrapped.obs - start
        obs = env.step(0)[0]
    values = train(rooms, tmp_path / "run", 200).q.values
    assert values.shape == (5, 2)
    assert values.any(axis=1).all()


@over(*DISCRETE)
@pytest.mark.parametrize("start", [-2, 0, 10])
def test_actions_begin_where_those_of_the_task_do(rooms, on, tmp_path, start):
    on(actions=Discrete(3, start=start))
    train(rooms, tmp_path / "run")
    assert set(map(int, small.received)) == {start, start + 1, start + 2}
    env = rooms.main.make_env()
    assert env.action_space == Discrete(3)
    env.reset(seed=0)
    for action in range(3):
        env.step(action)
        assert small.received[-1] == start + action


@over(*TABULAR)
def test_a_table_learns_which_action_fits_where_neither_begins_at_0(rooms, on, tmp_path):
    on(Discrete(3, start=20), Discrete(3, start=10), reward=lambda obs, action: float(action - 10 == obs - 20))
    agent = train(rooms, tmp_path / "run", 3000)
    assert rooms.main.evaluate(agent, 10, 0).mean() == 6.0


# ---- what is refused

OBSERVATIONS = {
    "an image": Box(0, 255, (4, 4, 3), np.uint8),
    "rows and columns": Box(-1.0, 1.0, (2, 2), np.float32),
    "a number without a row": Box(-1.0, 1.0, (), np.float32),
    "no numbers": Box(-1.0, 1.0, (0,), np.float32),
    "Dict": Dict(a=THREE, b=THREE),
    "Tuple": Tuple((THREE, Discrete(2))),
    "MultiDiscrete": MultiDiscrete([2, 3]),
    "MultiBinary": MultiBinary(2),
    "Text": Text(5),
}
GOAL_OBSERVATIONS = {
    "numbers": THREE,
    "Discrete": Discrete(5),
    "no goal desired": Dict(observation=THREE, achieved_goal=TWO),
    "one thing too many": Dict(observation=THREE, achieved_goal=TWO, desired_goal=TWO, colour=TWO),
    "goals of two sizes": Dict(observation=THREE, achieved_goal=TWO, desired_goal=THREE),
    "goals with columns": Dict(observation=THREE, achieved_goal=OBSERVATIONS["rows and columns"], desired_goal=TWO),
    "an image with goals": Dict(observation=OBSERVATIONS["an image"], achieved_goal=TWO, desired_goal=TWO),
    "a state with goals": Dict(observation=Discrete(5), achieved_goal=TWO, desired_goal=TWO),
}
BOX_ACTIONS = {
    "infinite": Box(-INF, INF, (2,), np.float32),
    "infinite above": Box(np.float32([-1, 0]), np.float32([1, INF])),
    "infinite below": Box(np.float32([-1, -INF]), np.float32([1, 0])),
    "no choice": Box(np.float32([-1, 1]), np.float32([1, 1])),
    "a number without a row": Box(-1.0, 1.0, (), np.float32),
    "rows and columns": Box(-1.0, 1.0, (2, 2), np.float32),
    "no numbers": Box(-1.0, 1.0, (0,), np.float32),
    "integers": Box(-3, 3, (2,), np.int64),
    "bytes": Box(0, 255, (2,), np.uint8),
    "wider than float32 can say": Box(-1e300, 1e300, (2,), np.float64),
}
ACTIONS = BOX_ACTIONS | {name: OBSERVATIONS[name] for name in ("Dict", "Tuple", "MultiDiscrete", "MultiBinary", "Text")}


def observed_words(folder):
    if folder in TABULAR:
        return "states that can be counted, Discrete"
    return "observation, achieved_goal and desired_goal" if folder in WITH_GOALS else "Box of shape (n,), or Discrete"


def done_words(folder):
    if folder in EITHER:
        return "one of n actions, Discrete, or a row of numbers between finite bounds, Box of shape (n,)"
    return "between finite bounds, Box of shape (n,)" if folder in CONTINUOUS else "takes one of n actions, Discrete"


def text(space):
    return " ".join(str(space).split())


class Any(small.Small):
    """With goals or without: judges them as it should."""

    compute_reward, compute_terminated = small.Goals.compute_reward, small.Goals.compute_terminated
    kind = "sparse"


@over(*FOLDERS)
@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_other_observations_are_refused_by_name(rooms, on, capsys, kind):
    on(observations=(space := OBSERVATIONS[kind]), task=Any)
    refused(capsys, rooms.main.make_env, rooms.main.ENV_ID, "observations", text(space), observed_words(rooms.folder))


@over(*TABULAR)
def test_a_table_takes_no_numbers(rooms, on, capsys):
    on(observations=THREE)
    refused(capsys, rooms.main.make_env, "observations", text(THREE), observed_words(rooms.folder))


@over(*WITH_GOALS)
@pytest.mark.parametrize("kind", GOAL_OBSERVATIONS)
def test_observations_without_fitting_goals_are_refused(rooms, on, capsys, kind):
    on(observations=(space := GOAL_OBSERVATIONS[kind]), task=Any)
    refused(capsys, rooms.main.make_env, "observations", text(space), observed_words(rooms.folder))


@over(*FOLDERS)
@pytest.mark.parametrize("kind", ACTIONS)
def test_other_actions_are_refused_by_name(rooms, on, capsys, kind):
    on(actions=(space := ACTIONS[kind]))
    refused(capsys, rooms.main.make_env, rooms.main.ENV_ID, "actions", text(space), done_words(rooms.folder))


@over(*[folder for folder in FOLDERS if folder not in EITHER])
def test_actions_of_the_kind_that_other_folders_take_are_refused(rooms, on, capsys):
    on(actions=(space := Discrete(2) if rooms.folder in CONTINUOUS else TWO))
    refused(capsys, rooms.main.make_env, "actions", text(space), done_words(rooms.folder))


@over(*FOLDERS)
def test_a_task_without_a_time_limit_is_refused_unless_main_sets_one(rooms, on, capsys):
    on(limit=None)
    if rooms.folder in TABULAR:
        assert rooms.main.make_env().spec.max_episode_steps == rooms.main.MAX_EPISODE_STEPS
    else:
        refused(capsys, rooms.main.make_env, rooms.main.ENV_ID, "time limit", "max_episode_steps")


@over(*WITH_GOALS)
@pytest.mark.parametrize("kind", ["dense", "positive"])
def test_goals_with_other_rewards_are_refused(rooms, on, capsys, kind):
    on(kind=kind)
    refused(capsys, rooms.main.make_env, rooms.main.ENV_ID, "rewards of -1 and 0")


@over(*WITH_GOALS)
@pytest.mark.parametrize("task", [small.WithoutReward, small.WithoutEnd])
def test_goals_that_cannot_be_asked_about_are_refused(rooms, on, capsys, task):
    on(task=task)
    refused(capsys, rooms.main.make_env, rooms.main.ENV_ID, "this folder takes numbers with goals")


@over(*WITH_GOALS)
def test_goals_come_first_whatever_their_order_in_the_task(rooms, on):
    on(task=small.Unordered)
    env = rooms.main.make_env()
    row, _ = env.reset(seed=0)
    parts = [env.unwrapped.obs[name] for name in ("achieved_goal", "desired_goal", "observation")]
    np.testing.assert_array_equal(row, np.concatenate(parts))


@over(*WITH_GOALS)
def test_a_task_that_does_not_say_whether_the_goal_is_achieved_is_learned_or_refused(rooms, on, tmp_path):
    on(task=small.Silent)
    with contextlib.suppress(SystemExit):
        assert train(rooms, tmp_path / "run")


# ---- what the task is given

NARROW = {  # float32 has no 0.1: what is nearest lies outside
    "float64": Box(-0.1, 0.1, (2,), np.float64),
    "float64, not around 0": Box(np.array([0.1, -3.0]), np.array([0.7, -0.1]), dtype=np.float64),
    "float32": Box(np.float32([-0.1, 5]), np.float32([0.1, 7])),
    "float16": Box(-0.1, 0.1, (2,), np.float16),
}


def outermost(agent, sign):
    """Let the policy's middle lie at the box's end, or beyond it."""
    last = [layer for layer in agent.actor.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias[:2] = sign * 50.0  # SAC's two others are deviations


@over(*BOXES)
@pytest.mark.parametrize("kind", NARROW)
def test_every_action_lies_in_the_box(rooms, on, tmp_path, kind, monkeypatch):
    on(actions=(space := NARROW[kind]))
    if "NOISE_SIGMA" in vars(rooms.main):
        monkeypatch.setattr(rooms.main, "NOISE_SIGMA", 2.0)
    try:
        env = rooms.main.make_env()
    except SystemExit:
        assert kind == "float16", "all others are taken"
        return
    train(rooms, tmp_path / "run")  # the task looks at each
    assert len(small.received) > STEPS
    at_ends = np.isin(small.received, [space.low, space.high]).any()
    assert at_ends or rooms.folder in ("SAC", "DIAYN")  # whose policies are squeezed into the box
    agent = rooms.main.make_agent(env, 0)
    obs, _ = env.reset(seed=0)
    for sign in (-1, 1):
        outermost(agent, sign)
        for explore in (False, True):
            action = agent.act(obs, explore=explore)
            if rooms.folder in EITHER and explore:
                action = action.clip(*agent.box)  # as main.py does
            assert env.action_space.contains(action)
            if not explore:
                np.testing.assert_allclose(action, space.high if sign > 0 else space.low, rtol=1e-6)


@over(*EITHER)
def test_a_task_charges_what_it_allows_and_the_memory_keeps_what_was_drawn(rooms, on, tmp_path, monkeypatch):
    charged = on(actions=Box(-0.1, 0.1, (2,), np.float32), reward=lambda obs, action: -float(np.square(action).sum()))
    monkeypatch.setattr(rooms.main, "EVAL_EVERY", 10**9)
    steps, add = [], rooms.replay.Rollout.add
    monkeypatch.setattr(rooms.replay.Rollout, "add", lambda self, *step: (steps.append(step), add(self, *step)))
    run = rooms.harness.Run(charged.main, 0, STEPS, tmp_path / "run")
    rooms.main.train(run, 0, STEPS)
    drawn, reward = (np.concatenate([step[i] for step in steps]) for i in (1, 2))
    given = np.array(small.received)
    assert len(given) == len(drawn) == STEPS
    np.testing.assert_array_equal(given, drawn.clip(np.float32(-0.1), np.float32(0.1)))
    np.testing.assert_allclose(reward / rooms.main.REWARD_SCALE, -np.square(given).sum(axis=1), rtol=1e-6)
    outside = math.erfc(math.exp(-rooms.main.LOG_STD) / math.sqrt(2))  # of a normal distribution; a third if σ is 1
    assert outside / 3 < np.mean(given != drawn) < 2 * outside


# ---- numbers that are none

FAULTS = {
    "reward nan": {"fault": "reward"},
    "reward inf": {"fault": "reward", "value": INF},
    "reward -inf in evaluation": {"fault": "reward", "value": -INF, "seeds": range(10**6, 2 * 10**6)},
    "observation nan": {"fault": "step"},
    "observation inf": {"fault": "step", "value": INF},
    "first observation nan": {"fault": "reset"},
    "first observation -inf": {"fault": "reset", "value": -INF},
}


@over(*FOLDERS)
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_finite_is_named_and_the_checkpoint_stays(rooms, on, tmp_path, name):
    if rooms.folder in TABULAR and "observation" in name:
        pytest.skip("states are whole numbers")
    on(**FAULTS[name])
    settings = FAULTS[name]
    words = (
        f"reward became {settings.get('value', NAN)}" if "reward" in name else "observation of the task is not finite"
    )
    run = rooms.harness.Run(rooms.main, 0, 200, tmp_path)
    with pytest.raises(FloatingPointError, match=words):
        rooms.main.train(run, 0, 200)
    run.lock.release()
    kept = rooms.checkpoint.load(tmp_path)
    agent = rooms.main.make_agent(rooms.main.make_env(), 0)
    rooms.checkpoint.fill(agent, kept["agent"], tmp_path, [])
    assert all(v.isfinite().all() for v in leaves(agent.state_dict()).values() if isinstance(v, torch.Tensor))


# ---- from the command line

IMPORTS = """
import small
from gymnasium.spaces import *
import numpy as np
"""


def command(folder, path, task, *arguments, **constants):
    """Run main.py of a copy of the folder with the task, as text; the copy, and the finished process."""
    also = f"{IMPORTS}\ngym.register('Own-v0', lambda render_mode=None: {task}, max_episode_steps=8)\n"
    constants = quick(folder, ENV_ID="Own-v0", **constants)
    constants |= {"ENV_SETTINGS": {}} if folder == "DQNwithHER" else {}
    constants |= {"N_WORKERS": 2} if "N_WORKERS" in changed.constants_of(folder) else {}
    copy = changed.copy(folder, path, constants, also)
    shutil.copy(small.__file__, copy)
    command = [sys.executable, "main.py", *arguments]
    return copy, subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=240)


def one_line(process):
    """What was said on stderr beside the progress bar, and what packages say when they are imported."""
    assert process.returncode == 2, process.stderr
    noise = ("steps/s", "Farama-Foundation", "?steps")
    (line,) = [
        line for line in re.split("[\r\n]", process.stderr) if line.strip() and not any(n in line for n in noise)
    ]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("folder", "task", "words"),
    [
        ("SarsaLambda", "small.Small(MultiDiscrete([2, 3]), Discrete(2))", "observations of the kind MultiDiscrete"),
        ("DPPO", "small.Small(small.three_numbers, Box(-np.inf, 1.0, (2,)))", "actions of the kind Box(-inf, 1.0"),
        (
            "DDPGwithHER",
            "small.Goals(small.three_numbers, Box(-1.0, 1.0, (2,)), kind='dense')",
            "takes numbers with goals",
        ),
    ],
)
def test_a_refused_task_leaves_no_run_folder(tmp_path, folder, task, words):
    copy, process = command(folder, tmp_path, task)
    assert words in one_line(process)
    assert not (copy / "runs").exists()


@pytest.mark.parametrize(
    ("folder", "fault", "seeds", "words"),
    [
        ("QLearning", "reward", None, "the task's reward became nan at step 3;"),
        ("DQNwithHER", "step", None, "an observation of the task is not finite at step 3;"),
        ("A3C", "reset", range(2000, 3000), "an observation of the task is not finite at step "),
        ("DPPO", "step", range(1000), "an observation of the task is not finite at step "),
        ("DPPO", "reward", range(1000, 2000), "the task's reward became nan at step "),
    ],
)
def test_the_command_line_says_what_is_not_finite_and_where(tmp_path, folder, fault, seeds, words):
    observations = "Discrete(5)" if folder == "QLearning" else "small.three_numbers"
    kind = "Goals" if folder in WITH_GOALS else "Small"
    task = f"small.{kind}({observations}, Discrete(2), fault={fault!r}, seeds={seeds!r})"
    copy, process = command(folder, tmp_path, task, "--steps", "2000")
    line = one_line(process)
    assert words in line
    assert re.search(r"at step \d+; the last good checkpoint is in ", line)
    (run,) = (copy / "runs").iterdir()
    assert str(run) in line
    with changed.root(tmp_path):
        assert changed.load(folder).checkpoint.load(Path(run))["agent"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_setting_that_the_task_does_not_have_is_said(folder, capsys, monkeypatch):
    """As after a change of ENV_ID alone, where the old task had settings of its own."""
    rooms = load(folder)
    monkeypatch.setattr(rooms.main, "make_env", lambda: gym.make("CartPole-v1", n_bits=30))
    with pytest.raises(SystemExit) as end:
        rooms.harness.spaces.check(rooms.main)
    assert end.value.code == 2
    assert "cannot be made" in capsys.readouterr().err
