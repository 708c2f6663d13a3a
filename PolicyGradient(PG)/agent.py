"""REINFORCE, the policy gradient (Williams 1992), with reward-to-go and a baseline.

It learns the policy itself and no values: an action becomes more likely in proportion to the return that followed it.
- Reward-to-go: an action is credited only with later rewards, because it did not cause the earlier ones.
- Baseline: the mean is subtracted from the returns. Actions better than the mean become more likely, the others less.
"""

from model import Actor
from replay import Rollout

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Agent:
    """Learns a network for the policy, and acts by drawing from it.

    The learning rate falls linearly to 0 over `learning_steps` updates. The other settings are explained
    where they are set, in main.py.
    """

    def __init__(
        self,
        obs_dim: int,
        n_actions: int,
        *,
        hidden: int,
        learning_rate: float,
        learning_steps: float,
        gamma: float,
        capacity: int,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the network's first weights
        self.rng = np.random.default_rng(seed)  # for exploration
        self.actor = Actor(obs_dim, n_actions, hidden)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps, self.updates = learning_rate, learning_steps, 0
        self.rollout = Rollout(capacity, obs_dim)
        self.gamma = gamma

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        logits = self.actor(torch.as_tensor(obs, dtype=torch.float32)).numpy()
        if explore:  # the largest logit after adding Gumbel noise is a sample of the softmax (Gumbel 1954)
            logits = logits + self.rng.gumbel(size=logits.shape)
        return logits.argmax(axis=-1)

    def learn(self) -> dict[str, float]:
        """One update from the episodes in the memory (Williams 1992, eq. 11). Returns values for the curves."""
        batch = self.rollout.take()
        returns = returns_to_go(batch.reward, batch.done, self.gamma)
        advantage = (returns - returns.mean()) / (returns.std() + 1e-8)  # one scale, whatever the rewards
        log_probs = F.log_softmax(self.actor(batch.obs), dim=-1)  # [steps, n_actions]
        log_prob = log_probs.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # [steps]
        loss = -(advantage * log_prob).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
        return {"loss/actor": loss.item(), "policy/entropy": entropy.item()}

    def state_dict(self) -> dict:
        """All that training needs to go on, without the steps since the last update: a pause ends their episode."""
        state = {name: getattr(self, name).state_dict() for name in ("actor", "optimizer")}
        return state | {"updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("actor", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]


def returns_to_go(reward: Tensor, done: Tensor, gamma: float) -> Tensor:
    """G_t = R_{t+1} + γ G_{t+1}, [steps] (Sutton & Barto, eq. 3.9); the sum stops at the end of an episode."""
    returns, following = torch.zeros_like(reward), 0.0
    for t in reversed(range(len(reward))):
        following = reward[t] + gamma * (1 - done[t]) * following
        returns[t] = following
    return returns
