"""The function being learned: a dueling network for the action values Q(s, a; w) (Wang et al. 2016)."""

from torch import Tensor, nn


class QNetwork(nn.Module):
    """Two hidden layers and two heads: one for the value of the state, one for the advantage of each action.

    V + A alone does not determine V and A: a constant can move from one to the other without changing Q. Subtracting
    the mean of A settles this (eq. 9): V is then the mean of Q over the actions, and every update changes it.

    Layer normalisation (Ba et al. 2016) is not in the DQN of 2015; it keeps training stable (Gallici et al. 2025).
    """

    def __init__(self, obs_dim: int, n_actions: int, hidden: int):
        super().__init__()
        layers = [nn.Linear(obs_dim, hidden), nn.LayerNorm(hidden), nn.ReLU()]
        layers += [nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.value = nn.Linear(hidden, 1)
        self.advantage = nn.Linear(hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Action values [..., n_actions] of observations [..., obs_dim]."""
        features = self.features(obs)
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=-1, keepdim=True)
