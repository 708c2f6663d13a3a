"""Which tasks a folder takes; others are refused by name. Nothing of learning, and the same file in every folder."""

import math

from startup import refuse

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

TAKEN = {  # what the agents of a folder observe or do, in words
    "numbers": "a row of numbers, Box of shape (n,), or Discrete",
    "states": "states that can be counted, Discrete",
    "goals": "numbers with goals, Dict of observation, achieved_goal and desired_goal, with rewards of -1 and 0",
    "discrete": "one of n actions, Discrete",
    "continuous": "a row of numbers between finite bounds, Box of shape (n,) and floating-point numbers",
    "any": "one of n actions, Discrete, or a row of numbers between finite bounds, Box of shape (n,)",
}
GOALS = ["achieved_goal", "desired_goal", "observation"]  # in this order


def fit(env: gym.Env, observations: str, actions: str) -> gym.Env:
    """`env` as the folder's agent takes it, or refused. The words that say what it takes are those of TAKEN.

    Discrete spaces begin at 0. To networks a Discrete observation is a row of zeros with one 1, and one with goals is a
    row of the achieved goal, the desired one, and the rest. The last info["episode"] has an episode's return, length.
    """
    for what, space, taken, fits in (
        ("observations", env.observation_space, observations, observed),
        ("actions", env.action_space, actions, acted),
    ):
        if not fits(space, taken, env):
            refuse(f"{named(env)} has {what} of the kind {space}; this folder takes {TAKEN[taken]}")
    if env.spec is None or env.spec.max_episode_steps is None:
        refuse(f"{named(env)} has no time limit: give gym.make a max_episode_steps, or episodes may never end")
    space, first = env.observation_space, int(getattr(env.action_space, "start", 0))
    if first:
        env = gym.wrappers.TransformAction(env, lambda action: action + first, Discrete(env.action_space.n))
    if observations == "states" and space.start:
        env = gym.wrappers.TransformObservation(env, lambda state: state - int(space.start), Discrete(space.n))
    elif isinstance(space, Discrete | Dict) and observations != "states":
        if observations == "goals":
            env = gym.wrappers.TransformObservation(env, lambda obs: obs, Dict({name: space[name] for name in GOALS}))
        env = gym.wrappers.FlattenObservation(env)
    return gym.wrappers.RecordEpisodeStatistics(Finite(env))


def check(task) -> None:
    """Refuse what cannot be trained on, before anything is begun."""
    try:
        task.make_env().close()
    except TypeError as error:  # gym.make was given a setting that the task does not have
        refuse(f"{task.ENV_ID} cannot be made: {error}")


def named(env: gym.Env) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def observed(space: gym.Space, taken: str, env: gym.Env) -> bool:
    """Whether observations of `space` are what is `taken`."""
    if taken == "goals":
        rows = isinstance(space, Dict) and sorted(space) == GOALS and all(map(is_row, space.values()))
        return rows and space["achieved_goal"].shape == space["desired_goal"].shape and judges(env.unwrapped, space)
    return isinstance(space, Discrete) or (taken == "numbers" and is_row(space))


def acted(space: gym.Space, taken: str, env: gym.Env) -> bool:
    """Whether actions of `space` are what is `taken`."""
    if isinstance(space, Discrete):
        return taken in ("discrete", "any")
    if taken == "discrete" or not is_row(space) or space.dtype not in (np.float32, np.float64):
        return False
    with np.errstate(over="ignore"):
        width = space.high.astype(np.float32) - space.low.astype(np.float32)
    return bool((np.isfinite(width) & (width > 0)).all())


def is_row(space: gym.Space) -> bool:
    return isinstance(space, Box) and len(space.shape) == 1 and space.shape[0] > 0 and space.dtype.isnative


def judges(task: gym.Env, space: Dict) -> bool:
    """Whether the task can say what an episode would have earned with another goal: 0 at the goal, else -1."""
    if not (hasattr(task, "compute_reward") and hasattr(task, "compute_terminated")):
        return False
    goal = np.zeros(space["desired_goal"].shape, space["desired_goal"].dtype)
    return [float(task.compute_reward(goal, wanted, {})) for wanted in (goal, goal + 1)] == [0.0, -1.0]


class Finite(gym.Wrapper):
    """Stops where the task gives a number that is none: all that learns from it would be lost."""

    def reset(self, **options) -> tuple:
        obs, info = self.env.reset(**options)
        if not np.isfinite(obs).all():
            raise FloatingPointError("an observation of the task is not finite")
        return obs, info

    def step(self, action: np.ndarray) -> tuple:
        obs, reward, *rest = self.env.step(action)
        if not math.isfinite(reward):
            raise FloatingPointError(f"the task's reward became {reward}")
        if not np.isfinite(obs).all():
            raise FloatingPointError("an observation of the task is not finite")
        return obs, reward, *rest
