"""Exploration noise, which is added to the actor's action."""

import torch
from torch import Tensor


class Noise:
    """The process x ← x - θx + σε, with independent standard normal numbers ε; actions are between -1 and 1.

    kind: "ou" is the Ornstein-Uhlenbeck process of Lillicrap et al. (2016, section 7) with θ = 0.15: each value is near
    the one before, so that the noise pushes in one direction for a while. "gaussian" is θ = 1: independent values.
    """

    def __init__(self, kind: str, sigma: float):
        self.theta, self.sigma = {"ou": 0.15, "gaussian": 1.0}[kind], sigma
        self.reset()

    def reset(self) -> None:
        """Start again at 0 for a new episode."""
        self.x = torch.zeros(())

    def step(self, epsilon: Tensor) -> Tensor:
        """The next value of the process, of the same shape as `epsilon`, which is the same throughout an episode."""
        self.x = self.x - self.theta * self.x + self.sigma * epsilon
        return self.x

    def state_dict(self) -> dict:
        """The value last drawn."""
        return {"x": self.x}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned."""
        self.x = state["x"]
