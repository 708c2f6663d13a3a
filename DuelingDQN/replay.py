"""The memory: the latest transitions, to be learned from many times and in any order."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Transitions sampled from the memory; all tensors are float32 but `action`, which keeps its type."""

    obs: Tensor  # [batch, obs_dim]
    action: Tensor  # [batch, ...]
    reward: Tensor  # [batch]
    next_obs: Tensor  # [batch, obs_dim]
    terminated: Tensor  # [batch], 1 where the episode terminated, 0 elsewhere, also at a time limit


class ReplayBuffer:
    """A ring of `capacity` transitions; the newest overwrites the oldest (Lin 1992).

    obs_dim: numbers in an observation. action_type: NumPy type of an action, such as np.int64. rng: draws the samples.
    """

    def __init__(self, capacity: int, obs_dim: int, action_type: np.dtype, rng: np.random.Generator):
        obs_type = np.dtype((np.float32, (obs_dim,)))
        types = (obs_type, action_type, np.float32, obs_type, np.float32)
        self.transitions = np.zeros(capacity, np.dtype(list(zip(Batch._fields, types, strict=True)), align=True))
        self.added, self.rng = 0, rng

    def __len__(self) -> int:
        return min(self.added, len(self.transitions))

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Store one transition."""
        self.transitions[self.added % len(self.transitions)] = (obs, action, reward, next_obs, terminated)
        self.added += 1

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` random transitions, with replacement."""
        return self.batch(self.rng.integers(len(self), size=batch_size))

    def batch(self, index: np.ndarray) -> Batch:
        """The transitions at `index` [batch]."""
        rows = self.transitions[index]
        return Batch(*(torch.from_numpy(rows[name]) for name in Batch._fields))

    def state_dict(self) -> dict:
        """The stored transitions as bytes, and how many were ever added."""
        return {"transitions": torch.from_numpy(self.transitions[: len(self)].view(np.uint8)), "added": self.added}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises ValueError if it does not fit in capacity or shape."""
        self.added = state["added"]
        self.transitions[: len(self)] = state["transitions"].numpy().view(self.transitions.dtype)
