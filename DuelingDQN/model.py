"""The function being learned: a dueling network for the action values Q(s, a; w) (Wang et al. 2016)."""

from torch import Tensor, nn


class QNetwork(nn.Module):
    """Two hidden layers, and on them two heads: how good the state is, and how much better each action than the rest.

    V + A alone could not be told apart: a constant moved from one to the other leaves Q as it is. Subtracting the mean
    of A settles it (eq. 9): V is then the mean of Q over the actions, and every update teaches it, whatever the action.

    Layer normalisation (Ba et al. 2016) is no part of the DQN of 2015, but what steadies it most (Gallici et al. 2025).
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
