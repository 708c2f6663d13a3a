"""The memory: the latest transitions, the surprising ones sampled more often (Schaul et al. 2016)."""

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


class SumTree:
    """A binary tree of sums over numbers p_i >= 0; to set or to find one takes O(log n), many at once."""

    def __init__(self, capacity: int):
        self.depth = (capacity - 1).bit_length()
        self.nodes = np.zeros(2 * 2**self.depth)  # 1 is the root, 2k and 2k + 1 are the children of k
        self.leaves = self.nodes[2**self.depth :]  # the p_i

    def __setitem__(self, index: int | np.ndarray, value: float | np.ndarray) -> None:
        self.leaves[index] = value
        node = 2**self.depth + index
        for _ in range(self.depth):  # one level up at a time, for all
            node = node // 2
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, mass: np.ndarray) -> np.ndarray:
        """For each mass [batch] the first i with p_0 + ... + p_i > mass. Each mass lies in [0, sum of all p)."""
        node = np.ones(len(mass), np.int64)
        for _ in range(self.depth):  # one level down at a time, for all
            left = self.nodes[2 * node]
            goes_right = mass >= left
            mass, node = mass - goes_right * left, 2 * node + goes_right
        return node - 2**self.depth


class PrioritizedReplayBuffer(ReplayBuffer):
    """Samples i with probability P(i) = p_i / Σ p, where p_i = (|δ_i| + 1e-6)^α is the paper's p_i^α (eq. 1)."""

    def __init__(self, capacity, obs_dim, action_type, rng, alpha: float, beta: float, beta_steps: float):
        super().__init__(capacity, obs_dim, action_type, rng)
        self.priorities, self.max_priority = SumTree(capacity), 1.0
        self.alpha, self.beta, self.beta_steps, self.draws = alpha, beta, beta_steps, 0

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Store one transition with the highest priority so far, so that it is sampled soon."""
        self.priorities[self.added % len(self.transitions)] = self.max_priority
        super().add(obs, action, reward, next_obs, terminated)

    def sample_prioritized(self, batch_size: int) -> tuple[Batch, np.ndarray, Tensor]:
        """A batch, its indices in the memory [batch], and importance weights (N · P)^-β over the largest [batch]."""
        total = self.priorities.nodes[1]
        mass = (np.arange(batch_size) + self.rng.random(batch_size)) / batch_size * total  # one in each of equal parts
        index = np.minimum(self.priorities.find(mass), len(self) - 1)  # rounding may lead past the last one
        beta = self.beta + (1 - self.beta) * min(1.0, self.draws / self.beta_steps)  # 1 after `beta_steps` draws
        weight = (len(self) * self.priorities.leaves[index] / total) ** -beta
        self.draws += 1
        return self.batch(index), index, torch.from_numpy((weight / weight.max()).astype(np.float32))

    def update_priorities(self, index: np.ndarray, td_error: np.ndarray) -> None:
        """Set the priorities of the transitions at `index` [batch] from their new TD errors [batch]."""
        self.priorities[index] = priority = (np.abs(td_error) + 1e-6) ** self.alpha
        self.max_priority = max(self.max_priority, float(priority.max()))

    def state_dict(self) -> dict:
        tree = torch.from_numpy(self.priorities.nodes)
        return super().state_dict() | {"tree": tree, "max": self.max_priority, "draws": self.draws}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.priorities.nodes[:] = state["tree"].numpy()
        self.max_priority, self.draws = state["max"], state["draws"]
