"""A2C, the advantage actor-critic (Mnih et al. 2016, made synchronous). Four differences from ActorCritic:

- Many environments: one policy acts in all of them, so that the steps of an update come from many episodes.
- n steps: the advantage sums the TD errors of up to n steps. It depends less on the critic than one TD error.
- Entropy bonus: a policy that becomes deterministic too early is penalised.
- Gradient clipping: the norm of the gradient is at most a given number.
"""

from model import Actor, Critic
from replay import Rollout

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


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
        gae_lambda: float,
        entropy_coef: float,
        max_grad_norm: float,
        n_steps: int,
        n_envs: int,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration
        self.actor = Actor(obs_dim, n_actions, hidden)
        self.critic = Critic(obs_dim, hidden)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps, self.updates = learning_rate, learning_steps, 0
        self.rollout = Rollout(n_steps, n_envs, obs_dim)
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.entropy_coef, self.max_grad_norm = entropy_coef, max_grad_norm

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        logits = self.actor(torch.as_tensor(obs, dtype=torch.float32)).numpy()
        if explore:  # the largest logit after adding Gumbel noise is a sample of the softmax (Gumbel 1954)
            logits = logits + self.rng.gumbel(size=logits.shape)
        return logits.argmax(axis=-1)

    def learn(self) -> dict[str, float]:
        """One update from the steps in the memory (Mnih et al. 2016, algorithm S3). Returns values for the curves."""
        batch = self.rollout.take()
        value = self.critic(batch.obs)  # [steps, envs]
        with torch.no_grad():
            td_error = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs) - value
            advantage = gae(td_error, batch.done, self.gamma * self.gae_lambda)
            returns = advantage + value
        log_probs = F.log_softmax(self.actor(batch.obs), dim=-1)  # [steps, envs, n_actions]
        log_prob = log_probs.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # [steps, envs]
        actor_loss = -(advantage * log_prob).mean()
        critic_loss = F.mse_loss(value, returns)
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
        self.optimizer.zero_grad()
        (actor_loss + critic_loss - self.entropy_coef * entropy).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
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


def gae(td_error: Tensor, done: Tensor, decay: float) -> Tensor:
    """Generalised advantage A_t = δ_t + γλ A_{t+1}, [steps, envs] (Schulman et al. 2016, eq. 16), with `decay` = γλ.

    The sum stops at the last step of an episode. With λ = 1 it is the return up to the end of the rollout, bootstrapped
    there, minus the value; with λ = 0 it is the TD error.
    """
    advantage, following = torch.zeros_like(td_error), torch.zeros_like(td_error[0])
    for t in reversed(range(len(td_error))):
        following = td_error[t] + decay * (1 - done[t]) * following
        advantage[t] = following
    return advantage
