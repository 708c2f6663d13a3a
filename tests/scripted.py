"""A task of which every number is known beforehand, an agent that never learns, and a run that writes nothing.

All of them note what they are asked and given, in the order in which it happens, in the list `happened`.
"""

import inspect
import itertools
from typing import NamedTuple

import gymnasium as gym
import numpy as np

LENGTHS = [3, 2, 4, 1, 3, 7, 2]  # of episodes, again and again
N_NUMBERS = 600  # states, and actions of the discrete kind
N_SKILLS = 3
LOW, HIGH = np.float32([-1, -0.5]), np.float32([1, 2])  # the ends of the continuous kind's box
happened: list[tuple] = []  # (what, its numbers, ...)
numbers = {"environment": itertools.count(), "action": itertools.count(), "loss": itertools.count()}


def begin():
    """Forget all that happened."""
    happened.clear()
    numbers.update({name: itertools.count() for name in numbers})


def note(*event):
    happened.append(tuple(value.copy() if isinstance(value, np.ndarray) else value for value in event))


class Taken(NamedTuple):
    """A step as it was."""

    obs: np.ndarray
    action: np.ndarray
    reward: float
    next_obs: np.ndarray
    terminated: bool
    over: bool  # terminated, or cut off
    success: bool


class Script(gym.Env):
    """In step t of episode e environment n observes 10,000 n + 10 e + t, and pays half more than it observed before;
    nothing in place of that where a goal is reached.

    Of its episodes every second one terminates, the others are cut off. Environments side by side are not in step.
    observe: "numbers", "states" or "goals".
    """

    def __init__(self, observe, act, render_mode=None):
        self.observe, self.render_mode, self.skill = observe, render_mode, None
        self.number, self.episode, self.t, self.over = next(numbers["environment"]), -1, 0, True
        number = gym.spaces.Box(-1e6, 1e6, (1,), np.float32)
        self.observation_space = {
            "numbers": number,
            "states": gym.spaces.Discrete(N_NUMBERS),
            "goals": gym.spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), number)),
        }[observe]
        discrete = act == "discrete"
        self.action_space = gym.spaces.Discrete(N_NUMBERS) if discrete else gym.spaces.Box(LOW, HIGH)
        sample, seed = self.action_space.sample, self.action_space.seed

        def sampled():
            note("sample", action := sample())
            return action

        def seeded(number=None):
            note("seed", number)
            return seed(number)

        self.action_space.sample, self.action_space.seed = sampled, seeded

    def value(self):
        return 10_000 * self.number + 10 * self.episode + self.t

    def seen(self):
        if self.observe == "states":
            return self.value()
        row = np.array([self.value()], np.float32)
        if self.observe == "numbers":
            return row
        return {"observation": row, "achieved_goal": row + 0.25, "desired_goal": row + 0.5}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t, self.over = self.episode + 1, 0, False
        note("reset", self.number, seed, self.row())
        return self.seen(), {}

    def step(self, action):
        assert not self.over, "no step follows the last of an episode"
        assert self.episode < 100, "no loop goes on for ever"
        obs, reward, place = self.row(), self.value() + 0.5, self.episode + self.number
        self.t += 1
        self.over = self.t == LENGTHS[place % len(LENGTHS)]
        terminated, truncated = self.over and place % 2 == 0, self.over and place % 2 == 1
        success = (self.episode % 3 == 0) == self.over  # what counts is the last
        ended = (terminated, self.over, success)
        if self.observe == "goals" and success:
            reward = 0.0  # the goal is reached
        note("step", self.number, Taken(obs, np.array(action), reward, self.row(), *ended))
        return self.seen(), reward, terminated, truncated, {}

    def row(self):
        """What it observes, as agents have it."""
        obs = self.seen()
        if self.observe == "goals":
            return np.concatenate([obs["achieved_goal"], obs["desired_goal"], obs["observation"]])
        if self.skill is not None:
            return np.append(obs, np.eye(N_SKILLS)[self.skill])
        return np.float32(obs)

    def compute_reward(self, achieved, desired, info):
        return np.where((achieved == desired).all(axis=-1), 0.0, -1.0)

    def compute_terminated(self, achieved, desired, info):
        return (achieved == desired).all(axis=-1)


def register(observe, act):
    """The name under which gym.make finds the task."""
    name = f"Script-{observe}-{act}-v0"
    if name not in gym.registry:
        kinds = {"observe": observe, "act": act}
        gym.register(name, Script, kwargs=kinds, max_episode_steps=1000, disable_env_checker=True)
    return name


def watched(agent, spill=False):
    """`agent`, but no two of its actions are the same, and what it learns from is only noted and forgotten.

    spill: while it explores, some of its continuous actions lie outside the box.
    """
    asked, taught = inspect.signature(agent.act), inspect.signature(agent.learn)
    memory = getattr(agent, "rollout", getattr(agent, "replay", None))
    discrete = not hasattr(agent, "action_low") and isinstance(getattr(agent, "box", (0, 0))[1], int)

    def act(*values, **options):
        given = asked.bind(*values, **options)
        given.apply_defaults()
        obs, explore = given.arguments["obs"], given.arguments["explore"]
        shape = np.shape(obs) if agent_is_table else np.shape(obs)[:-1]
        action = np.array([next(numbers["action"]) for _ in range(int(np.prod(shape)))]).reshape(shape)
        if not discrete:
            first = (action % 5 - 2) * 0.75  # from -1.5 to 1.5
            action = np.stack([first, action / 4096], axis=-1).astype(np.float32)
            action = action if spill and explore else action.clip(LOW, HIGH)
        note("act", obs, explore, action)
        return action[()]

    def learn(*values, **options):
        given = taught.bind(*values, **options)
        stored = None if memory is None else len(memory)
        shared = [value is agent.shared for value in given.args] if hasattr(agent, "shared") else given.args
        drawn = {"loss/scripted": float(next(numbers["loss"]))}
        note("learn", stored, tuple(shared), drawn)
        if hasattr(memory, "take"):
            memory.take()
        return drawn

    agent_is_table = hasattr(agent, "q")
    agent.act, agent.learn = act, learn
    for part, name in ((memory, "add"), (memory, "end_episode"), (agent, "begin_episode")):
        if hasattr(part, name):
            note_calls(part, name, name)
    if hasattr(agent, "noise"):
        note_calls(agent.noise, "reset", "noise")
    return agent


def note_calls(part, name, what):
    function = getattr(part, name)

    def noted(*values):
        note(what, *values)
        return function(*values)

    setattr(part, name, noted)


class Run:
    """In place of harness.Run: it begins at `step`."""

    def __init__(self, step=0, spill=False):
        self.step, self.spill, self.agent = step, spill, None

    def restore(self, agent):
        note("restore", agent)
        self.agent = watched(agent, self.spill)
        return agent

    def steps(self, total_steps, by=1):
        note("steps", total_steps, by)
        while self.step < total_steps:
            self.step += by
            note("begin", self.step)
            yield self.step
        note("end")

    def log(self, step, values):
        note("log", step, {tag: float(value) for tag, value in values.items()})

    def evaluate(self, step, keep_best=False):
        note("evaluate", step, keep_best)

    def snapshot(self):
        return self.agent

    def write(self, tag, value):
        pass


def parts():
    """What happened before the first step, in each step, and after the last."""
    result = [[]]
    for event in happened:
        if event[0] in ("begin", "end"):
            result.append([])
        result[-1].append(event)
    return result[0], result[1:-1], result[-1]


def of(kind, events):
    """The events of one kind, without its name."""
    return [event[1:] for event in events if event[0] == kind]
