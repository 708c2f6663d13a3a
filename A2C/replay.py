"""The memory: the steps since the last update, to be learned from once and then forgotten."""

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


class Rollout:
    """Up to `capacity` steps of the current policy in each of `n_envs` environments; `obs_dim` numbers observed."""

    def __init__(self, capacity: int, n_envs: int, obs_dim: int):
        def zeros(*shape: int, dtype: np.dtype = np.float32) -> np.ndarray:
            return np.zeros((capacity, n_envs, *shape), dtype)

        self.steps = Batch(
            obs=zeros(obs_dim),
            action=zeros(dtype=np.int64),
            reward=zeros(),
            next_obs=zeros(obs_dim),
            terminated=zeros(),
            done=zeros(),
        )
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def add(self, *step: np.ndarray | float) -> None:
        """Store one step of all environments: obs, action, reward, ... in the order of `Batch`."""
        for array, value in zip(self.steps, step, strict=True):
            array[self.size] = value
        self.size += 1

    def take(self) -> Batch:
        """All stored steps; the memory is then empty. Use them before the next step is added."""
        size, self.size = self.size, 0
        return Batch(*(torch.from_numpy(array[:size]) for array in self.steps))
