"""The functions being learned: networks for the policy π(a | s, z), the soft values Q(s, z, a) and skills q(z | s)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Actor(nn.Module):
    """Two hidden layers between the observation and the policy: samples of a Gaussian, squeezed by tanh.

    The log of the standard deviation is kept within bounds; beyond them its exponential would be 0 or very large.
    """

    LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0

    def __init__(self, obs_dim: int, action_dim: int, hidden: int):
        super().__init__()
        layers = [nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.gaussian = nn.Sequential(*layers, nn.Linear(hidden, 2 * action_dim))

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [..., action_dim] for observations [..., obs_dim], and their log-probabilities [...].

        The actions are a function of standard normal `noise` [..., action_dim], so that gradients pass through the
        draw. Noise 0 gives the middle of the Gaussian.
        """
        mean, log_std = self.gaussian(obs).chunk(2, dim=-1)
        log_std = log_std.clamp(self.LOG_STD_MIN, self.LOG_STD_MAX)
        u = mean + log_std.exp() * noise
        return u.tanh(), log_prob(noise, log_std, u)


def log_prob(noise: Tensor, log_std: Tensor, u: Tensor) -> Tensor:
    """log π(a | s) [...] of a = tanh(u), u = mean + std noise, all [..., action_dim] (Haarnoja et al. 2018a, eq. 21).

    It is the log-density of the Gaussian at u minus the log of the slope of tanh at u. Computed as 1 - tanh²u the slope
    would round to 0 for large u, and its log would be -∞. The form below is equal to it and does not round to 0.
    """
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    log_slope = 2 * (math.log(2) - u - F.softplus(-2 * u))
    return (gaussian - log_slope).sum(dim=-1)


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


class Discriminator(nn.Sequential):
    """Two hidden layers between states [..., state_dim] and how likely each skill led there: log q(z | s) [..., n]."""

    def __init__(self, state_dim: int, n_skills: int, hidden: int):
        layers = [nn.Linear(state_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        super().__init__(*layers, nn.Linear(hidden, n_skills), nn.LogSoftmax(dim=-1))
