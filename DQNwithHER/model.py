"""The function being learned: a network for the action values Q(s, a; w)."""

from torch import Tensor, nn


class QNetwork(nn.Module):
    """Two hidden layers between the observation and one value for each action.

    Layer normalisation (Ba et al. 2016) is not in the DQN of 2015; it keeps training stable (Gallici et al. 2025).
    """

    def __init__(self, obs_dim: int, n_actions: int, hidden: int):
        super().__init__()
        layers = [nn.Linear(obs_dim, hidden), nn.LayerNorm(hidden), nn.ReLU()]
        layers += [nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.q = nn.Linear(hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Action values [..., n_actions] of observations [..., obs_dim]."""
        return self.q(self.features(obs))
