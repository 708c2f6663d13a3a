"""The memory: the latest transitions, sampled as if what happened had been the goal (Andrychowicz et al. 2017)."""

from collections.abc import Callable
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
    """A ring of `capacity` transitions; the newest overwrites the oldest (Lin 1992). Relabels goals as it is sampled.

    obs_dim: numbers in an observation. action_type: NumPy type of an action, such as np.int64. rng: draws the samples.
    """

    def __init__(self, capacity: int, obs_dim: int, action_type: np.dtype, rng: np.random.Generator):
        obs_type = np.dtype((np.float32, (obs_dim,)))
        types = (obs_type, action_type, np.float32, obs_type, np.float32)
        self.transitions = np.zeros(capacity, np.dtype(list(zip(Batch._fields, types, strict=True)), align=True))
        self.added, self.rng, self.k = 0, rng, 0
        self.ends = np.full(capacity, 2**63 - 1)  # per row: `added` at the end of its episode; until then this maximum

    def use_hindsight(self, k: int, goal_dim: int, judge: Callable) -> None:
        """Give k of k + 1 samples another goal; judge(achieved, desired) returns their rewards and terminations."""
        self.k, self.judge = k, judge  # achieved, desired [n, goal_dim] -> the task's rewards [n], terminations [n]
        self.achieved, self.desired = np.s_[:goal_dim], np.s_[goal_dim : 2 * goal_dim]  # where observations have them

    def __len__(self) -> int:
        return min(self.added, len(self.transitions))

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Store one transition of the episode under way."""
        self.ends[self.added % len(self.ends)] = 2**63 - 1
        self.transitions[self.added % len(self.transitions)] = (obs, action, reward, next_obs, terminated)
        self.added += 1

    def end_episode(self) -> None:
        """Mark the end of an episode. To be called after a termination and after a time limit."""
        self.ends[self.ends > self.added] = self.added

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` random transitions, with replacement; k of k + 1 have a goal from their `future`."""
        number = self.rng.integers(self.added - len(self), self.added, size=batch_size)  # counted since the very first
        batch = self.batch(number % len(self.ends))
        if self.k:
            obs, _, reward, next_obs, terminated = (tensor.numpy() for tensor in batch)  # views, to edit the batch
            chosen = self.rng.random(batch_size) < self.k / (self.k + 1)
            # A random transition from this one to the last of its episode so far; what it achieved is the new goal.
            future = self.rng.integers(number, np.minimum(self.ends[number % len(self.ends)], self.added))
            goal = self.transitions["next_obs"][future % len(self.ends), self.achieved][chosen]
            obs[chosen, self.desired] = next_obs[chosen, self.desired] = goal
            reward[chosen], terminated[chosen] = self.judge(next_obs[chosen, self.achieved], goal)
        return batch

    def batch(self, index: np.ndarray) -> Batch:
        """The transitions at `index` [batch]."""
        rows = self.transitions[index]
        return Batch(*(torch.from_numpy(rows[name]) for name in Batch._fields))

    def state_dict(self) -> dict:
        """The stored transitions as bytes, and how many were ever added. A pause ends the episode under way."""
        transitions = torch.from_numpy(self.transitions[: len(self)].view(np.uint8))
        ends = torch.from_numpy(np.minimum(self.ends[: len(self)], self.added))
        return {"transitions": transitions, "added": self.added, "ends": ends}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises ValueError if it does not fit in capacity or shape."""
        self.added = state["added"]
        self.transitions[: len(self)] = state["transitions"].numpy().view(self.transitions.dtype)
        self.ends[: len(self)] = state["ends"].numpy()
