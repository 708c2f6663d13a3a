"""The memory: the steps since the last update, to be learned from once and then forgotten."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Steps in the order in which they were taken; all tensors are float32 but `action`, which keeps its type."""

    obs: Tensor  # [steps, envs, obs_dim]
    action: Tensor  # [steps, envs, ...]
    reward: Tensor  # [steps, envs]
    next_obs: Tensor  # [steps, envs, obs_dim]; at the end of an episode its last one, not the next one's first
    terminated: Tensor  # [steps, envs], 1 where the episode terminated, 0 elsewhere, also at a time limit
    done: Tensor  # [steps, envs], 1 in the last step of an episode, whatever ended it


class Rollout:
    """Up to `capacity` steps of the current policy in each of `n_envs` environments; `obs_dim` numbers observed.

    action_type: NumPy type of an action, such as np.int64, or (np.float32, 2) for vectors of two numbers.
    """

    def __init__(self, capacity: int, n_envs: int, obs_dim: int, action_type: np.dtype):
        types = ((np.float32, obs_dim), action_type, np.float32, (np.float32, obs_dim), np.float32, np.float32)
        self.steps = Batch(*(np.zeros((capacity, n_envs), kind) for kind in types))
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
