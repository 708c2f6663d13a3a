"""Small tasks with any spaces: what they observe is random, and what they are given is noted."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

received = []  # actions, as the tasks got them
three_numbers = Box(-1.0, 1.0, (3,), np.float32)


class Small(gym.Env):
    """Episodes of six steps. Rewards are random, or what `reward` says of the last observation and the action.

    fault: what is not finite but `value`: "reward", "step" (an observation), "reset" (one, from the second episode on).
    seeds: only tasks that were reset with one of these have the fault.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, observations, actions, fault="", value=np.nan, seeds=None, reward=None, render_mode=None):
        self.observation_space, self.action_space, self.render_mode = observations, actions, render_mode
        self.fault, self.value, self.seeds, self.reward = fault, value, seeds, reward
        self.episodes, self.faulty = 0, seeds is None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
            self.faulty = self.seeds is None or seed in self.seeds
        self.t, self.episodes = 0, self.episodes + 1
        return self.observe(self.fault == "reset" and self.episodes > 1), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        received.append(action)
        self.t += 1
        reward = self.reward(self.obs, action) if self.reward else self.np_random.normal()
        reward = self.value if self.fault == "reward" and self.t == 3 and self.faulty else reward
        return self.observe(self.fault == "step" and self.t == 3), reward, self.t == 6, False, {}

    def observe(self, wrong):
        self.obs = self.observation_space.sample()
        if wrong and self.faulty:
            self.spoil()
        return self.obs

    def spoil(self):
        self.obs[-1] = self.value

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)


class Goals(Small):
    """The same with goals [2]. Rewards are -1 and 0, or of another `kind`: "dense", or "positive", which is 0 and 1."""

    def __init__(self, observations, actions, goals=None, kind="sparse", **settings):
        goals = Box(-1.0, 1.0, (2,), np.float32) if goals is None else goals
        super().__init__(
            Dict({"observation": observations, "achieved_goal": goals, "desired_goal": goals}), actions, **settings
        )
        self.kind = kind

    def compute_reward(self, achieved, desired, info):
        distance = np.linalg.norm(achieved - desired, axis=-1)
        return {"sparse": -1.0 * (distance > 0.9), "dense": -distance, "positive": 1.0 * (distance < 0.9)}[self.kind]

    def compute_terminated(self, achieved, desired, info):
        return np.zeros(np.shape(achieved)[:-1], bool)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if np.isfinite(reward):
            reward = float(self.compute_reward(obs["achieved_goal"], obs["desired_goal"], {}))
        return obs, reward, terminated, truncated, info | {"is_success": reward == 0.0}

    def spoil(self):
        self.obs["desired_goal"][-1] = self.value


class Unordered(Goals):
    """Its observation comes before its goals."""

    def __init__(self, *spaces, **settings):
        super().__init__(*spaces, **settings)
        names = ("observation", "desired_goal", "achieved_goal")
        self.observation_space = Dict([(name, self.observation_space[name]) for name in names])


class Silent(Goals):
    """It does not say whether the goal was achieved."""

    def step(self, action):
        return *super().step(action)[:4], {}


class WithoutReward(Small):
    """It has goals, and no way to ask about others."""

    def __init__(self, observations, actions, **settings):
        super().__init__(Goals(observations, actions).observation_space, actions, **settings)


class WithoutEnd(WithoutReward):
    """One can ask for the reward with another goal, but not whether the episode would have ended."""

    def compute_reward(self, achieved, desired, info):
        return -1.0 * (np.linalg.norm(achieved - desired, axis=-1) > 0.9)


class Steps(gym.Env):
    """A walk on a line of `n` places to one of them, 0 or 1 a step; for agents with goals."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, n=5, render_mode=None):
        place = Box(0.0, n - 1.0, (1,), np.float32)
        self.observation_space = Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), place))
        self.action_space, self.n, self.render_mode = Discrete(2), n, render_mode

    def compute_reward(self, achieved, desired, info):
        return np.where((achieved == desired).all(axis=-1), 0.0, -1.0)

    def compute_terminated(self, achieved, desired, info):
        return (achieved == desired).all(axis=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.choice(self.n, 2, replace=False).astype(np.float32)[:, None]
        return self.observe(), {}

    def step(self, action):
        self.place = np.clip(self.place + 2 * action - 1, 0, self.n - 1).astype(np.float32)
        success = bool(self.compute_terminated(self.place, self.goal, {}))
        return self.observe(), success - 1.0, success, False, {"is_success": success}

    def observe(self):
        return {"observation": self.place, "achieved_goal": self.place, "desired_goal": self.goal}

    def render(self):
        picture = np.full((8, 8 * self.n, 3), 255, np.uint8)
        picture[:, 8 * int(self.place[0]) :][:, :8] = 0
        return picture


def register(make, limit=8):
    """A name under which `make(render_mode=...)` can be made, with a time limit."""
    register.count += 1
    gym.register(name := f"Small{register.count}-v0", make, max_episode_steps=limit)
    return name


register.count = 0
