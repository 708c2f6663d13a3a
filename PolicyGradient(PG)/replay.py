"""The memory: the steps since the last update, to be learned from once and then forgotten."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Steps in the order in which they were taken; all tensors are float32 but `action`, which is int64."""

    obs: Tensor  # [steps, obs_dim]
    action: Tensor  # [steps]
    reward: Tensor  # [steps]
    done: Tensor  # [steps], 1 in the last step of an episode


class Rollout:
    """Up to `capacity` steps of the current policy. obs_dim: numbers in an observation."""

    def __init__(self, capacity: int, obs_dim: int):
        def zeros(*shape: int, dtype: np.dtype = np.float32) -> np.ndarray:
            return np.zeros((capacity, *shape), dtype)

        self.steps = Batch(obs=zeros(obs_dim), action=zeros(dtype=np.int64), reward=zeros(), done=zeros())
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def add(self, *step: np.ndarray | float) -> None:
        """Store one step: obs, action, reward, ... in the order of `Batch`."""
        for array, value in zip(self.steps, step, strict=True):
            array[self.size] = value
        self.size += 1

    def take(self) -> Batch:
        """All stored steps; the memory is then empty. Use them before the next step is added."""
        size, self.size = self.size, 0
        return Batch(*(torch.from_numpy(array[:size]) for array in self.steps))
