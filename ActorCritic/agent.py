"""The actor-critic with a one-step critic (Sutton & Barto, section 13.5). Two differences from REINFORCE:

- Critic: a second network learns the value V(s) by temporal differences, as the Q table of Q-learning did.
- Advantage: the TD error of the critic takes the place of the return. It is known after one step, so learning does not
  wait for the end of an episode. It varies less than a return, but it is biased as long as the critic is wrong.
"""

from model import Actor, Critic
from replay import Rollout

import numpy as np
import torch
import torch.nn.functional as F


class Agent:
    """Learns networks for the policy and for the value, and acts by drawing from the policy.

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
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration
        self.actor = Actor(obs_dim, n_actions, hidden)
        self.critic = Critic(obs_dim, hidden)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
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
        """One update from the steps in the memory (Sutton & Barto, section 13.5). Returns values for the curves."""
        batch = self.rollout.take()
        value = self.critic(batch.obs)  # [steps]
        with torch.no_grad():
            td_target = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs)
            advantage = td_target - value  # the TD error
        log_probs = F.log_softmax(self.actor(batch.obs), dim=-1)  # [steps, n_actions]
        log_prob = log_probs.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # [steps]
        actor_loss = -(advantage * log_prob).mean()
        critic_loss = F.mse_loss(value, td_target)
        self.optimizer.zero_grad()
        (actor_loss + critic_loss).backward()
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
        return {
            "loss/actor": actor_loss.item(),
            "loss/critic": critic_loss.item(),
            "policy/entropy": entropy.item(),
        }

    def state_dict(self) -> dict:
        """All that training needs to go on, without the steps since the last update: a pause ends their episode."""
        state = {name: getattr(self, name).state_dict() for name in ("actor", "critic", "optimizer")}
        return state | {"updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("actor", "critic", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]
