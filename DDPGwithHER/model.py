"""The functions being learned: a network for the policy μ(s; θ) and one for the action values Q(s, a; w)."""

import torch
from torch import Tensor, nn


class Normalizer(nn.BatchNorm1d):
    """Brings observations to mean 0 and deviation 1, averaged over all batches so far, and within ±5 (appendix A)."""

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations [..., obs_dim]; numbers that hardly vary are not scaled up."""
        return ((obs - self.running_mean) / self.running_var.sqrt().clamp(min=0.01)).clamp(-5.0, 5.0)

    def update(self, obs: Tensor) -> None:
        """Update mean and variance with a batch [batch, obs_dim], as PyTorch's class does at every call."""
        super().forward(obs)


class Actor(nn.Module):
    """Two hidden layers between the observation and an action, each number of which is between -1 and 1."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        self.normalizer = Normalizer(obs_dim, affine=False, momentum=None)
        layers = [nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.action = nn.Sequential(*layers, nn.Linear(hidden, action_dim), nn.Tanh())

    def forward(self, obs: Tensor) -> Tensor:
        """Actions [..., action_dim] for observations [..., obs_dim]."""
        return self.action(self.normalizer(obs))


class Critic(nn.Module):
    """Two hidden layers between an observation with an action and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        self.normalizer = Normalizer(obs_dim, affine=False, momentum=None)
        layers = [nn.Linear(obs_dim + action_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.q = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Values [...] of observations [..., obs_dim] with actions [..., action_dim] between -1 and 1."""
        return self.q(torch.cat([self.normalizer(obs), action], dim=-1)).squeeze(-1)
