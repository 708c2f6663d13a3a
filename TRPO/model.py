"""The functions being learned: a network for the policy π(a | s; θ) and one for the value V(s; w)."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal


class Actor(nn.Module):
    """Two hidden layers between the observation and the policy π, for discrete or continuous actions.

    actions: n, for n discrete actions; π is a softmax of n preferences. Or the lowest and highest action vector; π is
    then a normal distribution. Its mean comes from the network. Its log deviation is a weight, at first `log_std`.
    """

    def __init__(self, obs_dim: int, actions: int | tuple[np.ndarray, np.ndarray], hidden: int, log_std: float):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.discrete = isinstance(actions, int)
        if self.discrete:
            self.logits = nn.Linear(hidden, actions)
        else:
            low, high = torch.tensor(np.array(actions), dtype=torch.float32)  # [action_dim] each
            self.center, self.half_width = (low + high) / 2, (high - low) / 2
            self.mean, self.log_std = nn.Linear(hidden, len(low)), nn.Parameter(torch.full((len(low),), log_std))

    def forward(self, obs: Tensor) -> Distribution:
        """π at observations [..., obs_dim]; its actions are numbers [...] or vectors [..., action_dim]."""
        features = self.features(obs)
        if self.discrete:
            return Categorical(logits=self.logits(features), validate_args=False)
        mean = self.center + self.half_width * self.mean(features)
        normal = Normal(mean, self.half_width * self.log_std.exp(), validate_args=False)
        return Independent(normal, 1, validate_args=False)  # one log-probability and entropy for the whole vector

    def sample(self, policy: Distribution, rng: np.random.Generator) -> Tensor:
        """Draw actions: the largest logit once Gumbel noise is added (Gumbel 1954), or the mean with normal noise."""
        if self.discrete:
            return (policy.logits + torch.from_numpy(rng.gumbel(size=policy.logits.shape))).argmax(dim=-1)
        return policy.mean + policy.stddev * torch.from_numpy(rng.standard_normal(policy.mean.shape, np.float32))


class Critic(nn.Module):
    """Two hidden layers between the observation and its value: the return to be expected from there."""

    def __init__(self, obs_dim: int, hidden: int):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.value = nn.Linear(hidden, 1)

    def forward(self, obs: Tensor) -> Tensor:
        """Values [...] of observations [..., obs_dim]."""
        return self.value(self.features(obs)).squeeze(-1)
