"""The functions being learned: a network for the policy μ(s; θ) and one for the action values Q(s, a; w)."""

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """Observations, goals among them, with mean 0 and deviation 1 each, cut off at ±5 (appendix A of the paper)."""

    def __init__(self, obs_dim: int):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(obs_dim))
        self.register_buffer("var", torch.ones(obs_dim))

    def forward(self, obs: Tensor) -> Tensor:
        """Numbers [..., obs_dim] for observations [..., obs_dim]; what hardly varies is not blown up."""
        return ((obs - self.mean) / self.var.sqrt().clamp(min=0.01)).clamp(-5.0, 5.0)

    @torch.no_grad()
    def update(self, obs: Tensor) -> None:
        """Mean and variance of all observations so far, with those in `obs` [batch, obs_dim] (Chan et al. 1979)."""
        var, mean = torch.var_mean(obs, dim=0, correction=0)
        self.count += len(obs)
        share = len(obs) / self.count
        self.var += share * (var - self.var + (1 - share) * (mean - self.mean).square())
        self.mean += share * (mean - self.mean)


class Actor(nn.Module):
    """Two hidden layers between the observation and an action, each number of which is between -1 and 1."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        self.normalizer = Normalizer(obs_dim)
        layers = [nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.action = nn.Sequential(*layers, nn.Linear(hidden, action_dim), nn.Tanh())

    def forward(self, obs: Tensor) -> Tensor:
        """Actions [..., action_dim] for observations [..., obs_dim]."""
        return self.action(self.normalizer(obs))


class Critic(nn.Module):
    """Two hidden layers between an observation with an action and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        self.normalizer = Normalizer(obs_dim)
        layers = [nn.Linear(obs_dim + action_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.q = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Values [...] of observations [..., obs_dim] with actions [..., action_dim] between -1 and 1."""
        return self.q(torch.cat([self.normalizer(obs), action], dim=-1)).squeeze(-1)
