"""The function being learned: a network for the action values Q(s, a; w)."""

from torch import Tensor, nn


class QNetwork(nn.Module):
    """Two hidden layers between the observation and one value for each action."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: int):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.q = nn.Linear(hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Action values [..., n_actions] of observations [..., obs_dim]."""
        return self.q(self.features(obs))
