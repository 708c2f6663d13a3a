"""The memory: the latest transitions, sampled as if what happened had been the goal (Andrychowicz et al. 2017)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Transitions sampled from the memory; all tensors are float32 but `action`, which is what was stored."""

    obs: Tensor  # [batch, obs_dim]
    action: Tensor  # [batch, ...]
    reward: Tensor  # [batch]
    next_obs: Tensor  # [batch, obs_dim]
    terminated: Tensor  # [batch], 1 where the episode ended for good, 0 also where only its time was up


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
        """`batch_size` transitions, each equally likely, with replacement."""
        return self.batch(self.rng.integers(len(self), size=batch_size))

    def batch(self, index: np.ndarray) -> Batch:
        """The transitions at `index` [batch]."""
        rows = self.transitions[index]
        return Batch(*(torch.from_numpy(rows[name]) for name in Batch._fields))

    def state_dict(self) -> dict:
        """What is stored, and how much was ever added."""
        return {"transitions": self.transitions[: len(self)], "added": self.added}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises ValueError if it was of another capacity or shape."""
        self.added = state["added"]
        if state["transitions"].shape != (len(self),) or state["transitions"].dtype != self.transitions.dtype:
            raise ValueError("the replay memory has another capacity or shape")
        self.transitions[: len(self)] = state["transitions"]


class Goals(NamedTuple):
    """What the memory knows of goals. An observation is a row of numbers: goal achieved, goal desired, and the rest."""

    dim: int  # numbers in a goal
    k: int  # samples with a goal relabelled for each one that keeps its own; 0 is plain replay
    reward: Callable[[np.ndarray, np.ndarray], np.ndarray]  # the environment's, of achieved and desired [batch, dim]
    terminated: Callable[[np.ndarray, np.ndarray], np.ndarray]  # and whether the episode ends there, [batch]


class HindsightReplayBuffer(ReplayBuffer):
    """Samples k in k + 1 transitions with a goal that was achieved later in the same episode: the strategy `future`.

    Goals are relabelled in the samples; nothing is stored twice. The future of what is stored is newer, and stored too.
    """

    def __init__(self, capacity, obs_dim, action_type, rng, goals: Goals):
        super().__init__(capacity, obs_dim, action_type, rng)
        self.ends = np.full(capacity, np.iinfo(np.int64).max)  # for each row: `added` as its episode ended, if it has
        self.goals, self.begin = goals, 0  # `added` as the episode under way began

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Store one transition of the episode under way."""
        self.ends[self.added % len(self.ends)] = np.iinfo(np.int64).max
        super().add(obs, action, reward, next_obs, terminated)

    def end_episode(self) -> None:
        """The next transition will belong to another episode. To be called however the episode ended."""
        self.ends[np.arange(max(self.begin, self.added - len(self)), self.added) % len(self.ends)] = self.added
        self.begin = self.added

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions, each equally likely, with replacement; each relabelled with chance k / (k + 1)."""
        index = self.rng.integers(len(self), size=batch_size)
        batch, (dim, k, reward, terminated) = self.batch(index), self.goals
        relabelled = self.rng.random(batch_size) < k / (k + 1)
        index = index[relabelled]
        number = self.added - 1 - (self.added - 1 - index) % len(self.ends)  # of the transition, since the first of all
        future = self.rng.integers(number, np.minimum(self.ends[index], self.added))  # from itself to the last so far
        goal = self.transitions["next_obs"][future % len(self.ends), :dim]  # [relabelled, dim]
        achieved = batch.next_obs[relabelled, :dim].numpy()
        batch.obs[relabelled, dim : 2 * dim] = batch.next_obs[relabelled, dim : 2 * dim] = torch.from_numpy(goal)
        batch.reward[relabelled] = torch.as_tensor(reward(achieved, goal), dtype=torch.float32)
        batch.terminated[relabelled] = torch.as_tensor(terminated(achieved, goal), dtype=torch.float32)
        return batch

    def state_dict(self) -> dict:
        """What is stored, with the episode under way as ended: whoever takes it over begins a new one."""
        return super().state_dict() | {"ends": np.minimum(self.ends[: len(self)], self.added)}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.ends[: len(self)], self.begin = state["ends"], self.added
