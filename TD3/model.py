"""The functions being learned: a network for the policy μ(s; θ) and two for the action values Q(s, a; w)."""

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
    """Two networks that differ in their first weights, each with two hidden layers between an observation with an
    action and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        self.q = nn.ModuleList()
        for _ in range(2):
            layers = [nn.Linear(obs_dim + action_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
            self.q.append(nn.Sequential(*layers, nn.Linear(hidden, 1)))

    def forward(self, obs: Tensor, action: Tensor, networks: int = 2) -> Tensor:
        """Values [networks, ...] of observations [..., obs_dim] with actions [..., action_dim] between -1 and 1."""
        obs_action = torch.cat([obs, action], dim=-1)
        return torch.stack([q(obs_action).squeeze(-1) for q in self.q[:networks]])
