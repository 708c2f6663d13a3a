"""The functions being learned: a network for the policy π(a | s; θ) and one for the value V(s; w)."""

from torch import Tensor, nn


class Actor(nn.Module):
    """Two hidden layers between the observation and one preference for each action; π is their softmax."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: int):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.logits = nn.Linear(hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Preferences (logits) [..., n_actions] of observations [..., obs_dim]."""
        return self.logits(self.features(obs))


class Critic(nn.Module):
    """Two hidden layers between the observation and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, hidden: int):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.value = nn.Linear(hidden, 1)

    def forward(self, obs: Tensor) -> Tensor:
        """Values [...] of observations [..., obs_dim]."""
        return self.value(self.features(obs)).squeeze(-1)
