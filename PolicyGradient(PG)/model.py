"""The function being learned: a network for the policy π(a | s; θ)."""

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
