"""The functions being learned: a network for the policy μ(s; θ) and one for the action values Q(s, a; w)."""

import torch
from torch import Tensor, nn


class Actor(nn.Module):
    """Two hidden layers between the observation and an action, each number of which is between -1 and 1."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        layers = [nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.action = nn.Sequential(*layers, nn.Linear(hidden, action_dim), nn.Tanh())

    def forward(self, obs: Tensor) -> Tensor:
        """Actions [..., action_dim] for observations [..., obs_dim]."""
        return self.action(obs)


class Critic(nn.Module):
    """Two hidden layers between an observation with an action and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        layers = [nn.Linear(obs_dim + action_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.q = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Values [...] of observations [..., obs_dim] with actions [..., action_dim] between -1 and 1."""
        return self.q(torch.cat([obs, action], dim=-1)).squeeze(-1)
