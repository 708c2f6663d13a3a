"""The function being learned: a dueling network for the action values Q(s, a; w) (Wang et al. 2016)."""

from torch import Tensor, nn


class QNetwork(nn.Module):
    """Two hidden layers, and on them two heads: how good the state is, and how much better each action than the rest.

    V + A alone could not be learned apart: a constant moved from one to the other leaves Q as it is. Subtracting the
    mean of A settles it (eq. 9); then V is the mean of Q over the actions, and is learned whichever action was taken.
    """

    def __init__(self, obs_dim: int, n_actions: int, hidden: int):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.value = nn.Linear(hidden, 1)
        self.advantage = nn.Linear(hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Action values [..., n_actions] of observations [..., obs_dim]."""
        features = self.features(obs)
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=-1, keepdim=True)
