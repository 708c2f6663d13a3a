"""Five tiny tasks, each failing for one reason only (after A. Jones, "Debugging RL, without the agonizing pain")."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
from folders import start_run


class Probe(gym.Env):
    """Episodes of `length` steps; observations are one number. `reward(obs, action)` is paid in the last step."""

    def __init__(self, length, observations, reward, n_actions=2):
        self.length, self.observations, self.reward = length, observations, reward
        self.spec = gym.envs.registration.EnvSpec("Probe-v0", max_episode_steps=10)
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(n_actions)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.obs = 0, float(self.np_random.choice(self.observations))
        return np.array([self.obs], np.float32), {}

    def step(self, action):
        self.t += 1
        terminated = self.t == self.length
        reward = self.reward(self.obs, np.asarray(action).item()) if terminated else 0.0
        self.obs = self.obs if terminated else 1.0
        return np.array([self.obs], np.float32), reward, terminated, False, {}


def constant():
    """Reward 1, in one step: the value is 1. Fails if the loss or the optimiser is wrong."""
    return Probe(1, [0.0], lambda obs, action: 1.0)


def observed():
    """Reward is the observation: fails if observations and rewards are mixed up, or do not reach the network."""
    return Probe(1, [-1.0, 1.0], lambda obs, action: obs)


def delayed():
    """Reward 1 one step later: the first value is γ. Fails if the discount or the bootstrap is wrong."""
    return Probe(2, [-1.0], lambda obs, action: 1.0)


def acted():
    """Reward depends on the action: +1 for 1, -1 for 0. Fails if actions are mixed up or the policy stands still."""
    return Probe(1, [0.0], lambda obs, action: 2.0 * action - 1.0)


def both():
    """Reward is +1 if the action fits the observation, else -1."""
    return Probe(1, [-1.0, 1.0], lambda obs, action: obs * (2.0 * action - 1.0))


def in_a_box(probe):
    """The same task with an action between -3 and 1."""
    probe.action_space = gym.spaces.Box(-3.0, 1.0, (1,), np.float32)
    return probe


def acted_in_a_box():
    """Reward falls with the distance from the best action, 0.5."""
    return in_a_box(Probe(1, [0.0], lambda obs, action: 1.0 - (action - 0.5) ** 2))


def both_in_a_box():
    """The best action is the observation less 1."""
    return in_a_box(Probe(1, [-1.0, 1.0], lambda obs, action: 1.0 - (action - (obs - 1.0)) ** 2))


class GoalProbe(gym.Env):
    """Episodes of `length` steps to a goal, -1 or 1; the observation is the time. No reward is above 0.

    The goal achieved is 0 until the last step, and then what was done: in a box the action, else -1 or 1 for 0 or 1.
    """

    def __init__(self, length, reward, in_a_box):
        self.length, self.reward, self.in_a_box = length, reward, in_a_box
        number = gym.spaces.Box(-3.0, 3.0, (1,), np.float32)
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = gym.spaces.Dict(dict.fromkeys(names, number))
        self.action_space = gym.spaces.Box(-3.0, 1.0, (1,), np.float32) if in_a_box else gym.spaces.Discrete(2)

    def compute_reward(self, achieved, desired, info):
        return np.where(achieved == 0.0, 0.0, self.reward(achieved, desired))[..., 0]

    def compute_terminated(self, achieved, desired, info):
        return (achieved != 0.0)[..., 0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.goal = 0, np.array([self.np_random.choice([-1.0, 1.0])], np.float32)
        return self.seen(np.zeros(1, np.float32)), {}

    def step(self, action):
        self.t += 1
        done = action if self.in_a_box else 2.0 * action - 1.0
        achieved = np.full(1, done if self.t == self.length else 0.0, np.float32)
        terminated = bool(self.compute_terminated(achieved, self.goal, {}))
        return self.seen(achieved), float(self.compute_reward(achieved, self.goal, {})), terminated, False, {}

    def seen(self, achieved):
        return {"observation": np.array([self.t], np.float32), "achieved_goal": achieved, "desired_goal": self.goal}


def with_a_goal(task, in_a_box=False):
    """The five tasks for agents with goals; what was the observation there is the goal here."""
    length, reward = {
        "constant": (1, lambda achieved, desired: -1.0),
        "observed": (1, lambda achieved, desired: desired - 2.0),
        "delayed": (2, lambda achieved, desired: -1.0),
        "acted": (1, lambda achieved, desired: (achieved - 1.0) / 2),
        "both": (1, lambda achieved, desired: (achieved * desired - 1.0) / 2),
        "acted_in_a_box": (1, lambda achieved, desired: -((achieved - 0.5) ** 2)),
        "both_in_a_box": (1, lambda achieved, desired: -((achieved - (desired - 1.0)) ** 2)),
    }[task]
    return gym.wrappers.FlattenObservation(GoalProbe(length, reward, in_a_box))


class Enough(Exception):
    """It is learned."""


def is_learned(check: Callable, agent) -> bool:
    """Whether check(agent) asserts nothing that is wrong. The agent's random numbers go on as if it was not asked."""
    before = agent.rng.bit_generator.state
    try:
        check(agent)
    except AssertionError:
        return False
    finally:
        agent.rng.bit_generator.state = before
    return True


def train(rooms, path, steps: int, check: Callable, every: int = 500) -> None:
    """Train as main.py does until check(agent), asked every so many steps, holds; it has to in the end."""
    rooms.main.EVAL_EVERY = every
    run = start_run(rooms, path, steps)

    def evaluate(step, keep_best=False):
        if is_learned(check, run.agent):
            raise Enough

    run.evaluate = evaluate
    train_alone = getattr(rooms.main.train, "__wrapped__", rooms.main.train)  # DPPO's first worker
    try:
        check(train_alone(run, 0, steps))
    except Enough:
        return
