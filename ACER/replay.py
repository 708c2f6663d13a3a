"""The memory: the latest rollouts, to be learned from many times, with the probabilities their actions had."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Steps in the order in which they were taken; all tensors are float32 but `action`, which is int64."""

    obs: Tensor  # [steps, envs, obs_dim]
    action: Tensor  # [steps, envs]
    reward: Tensor  # [steps, envs]
    next_obs: Tensor  # [steps, envs, obs_dim]; at the end of an episode its last one, not the next one's first
    terminated: Tensor  # [steps, envs], 1 where the episode terminated, 0 elsewhere, also at a time limit
    done: Tensor  # [steps, envs], 1 in the last step of an episode, whatever ended it
    log_mu: Tensor  # [steps, envs, n_actions], log-probability of each action in the policy that took the step


class Rollout:
    """A ring of `capacity` rollouts of `n_steps` steps in each of `n_envs` environments; `rng` draws the samples."""

    def __init__(
        self, capacity: int, n_steps: int, n_envs: int, obs_dim: int, n_actions: int, rng: np.random.Generator
    ):
        def zeros(*shape: int, dtype: np.dtype = np.float32) -> np.ndarray:
            return np.zeros((capacity, n_steps, n_envs, *shape), dtype)

        self.steps = Batch(
            obs=zeros(obs_dim),
            action=zeros(dtype=np.int64),
            reward=zeros(),
            next_obs=zeros(obs_dim),
            terminated=zeros(),
            done=zeros(),
            log_mu=zeros(n_actions),
        )
        self.size, self.taken = 0, 0  # steps in the rollout under way, rollouts completed so far
        self.capacity, self.rng = capacity, rng

    def __len__(self) -> int:
        return self.size

    def add(self, *step: np.ndarray | float) -> None:
        """Store one step of all environments: obs, action, reward, ... in the order of `Batch`, but no `log_mu` yet."""
        for array, value in zip(self.steps[:-1], step, strict=True):
            array[self.taken % self.capacity, self.size] = value
        self.size += 1

    def take(self) -> Batch:
        """The steps since the last update. They stay in the memory, together with what is written into `log_mu`."""
        self.size, self.taken = 0, self.taken + 1
        return self.batch((self.taken - 1) % self.capacity)

    def sample(self) -> Batch:
        """A random rollout of the memory; all are equally likely."""
        return self.batch(self.rng.integers(min(self.taken, self.capacity)))

    def batch(self, index: int) -> Batch:
        """The rollout at `index`."""
        return Batch(*(torch.from_numpy(array[index]) for array in self.steps))

    def state_dict(self) -> dict:
        """All rollouts but the one under way."""
        return {"steps": [torch.from_numpy(array[: self.taken]) for array in self.steps], "taken": self.taken}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises ValueError if it does not fit in capacity or shape."""
        self.size, self.taken = 0, state["taken"]
        for array, stored in zip(self.steps, state["steps"], strict=True):
            if array[: self.taken].shape != stored.shape:
                raise ValueError("the memory of rollouts has another capacity or shape")
            array[: self.taken] = stored.numpy()
