"""ACER, the actor-critic with experience replay (Wang et al. 2017, discrete actions). Four differences from A2C:

- Replay: rollouts are stored with the probabilities μ of their actions, and learned from many times.
- Retrace: the critic learns Q(s, a) from old rewards as far as the current policy would have acted the same way.
- Truncated importance weights: π / μ is cut off at c, and a term with the critic's values corrects the bias.
- Trust region: the part of the gradient that moves too fast away from the average policy is removed.
"""

import copy

from model import Actor, Critic
from replay import Batch, Rollout

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
        retrace: bool,
        truncation: float,
        delta: float,
        alpha: float,
        entropy_coef: float,
        max_grad_norm: float,
        n_steps: int,
        n_envs: int,
        replay_ratio: float,
        capacity: int,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and for replay
        self.actor = Actor(obs_dim, n_actions, hidden)
        self.average_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.critic = Critic(obs_dim, n_actions, hidden)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps, self.updates = learning_rate, learning_steps, 0
        self.rollout = Rollout(capacity, n_steps, n_envs, obs_dim, n_actions, self.rng)
        self.gamma, self.retrace, self.truncation, self.delta, self.alpha = gamma, retrace, truncation, delta, alpha
        self.entropy_coef, self.max_grad_norm, self.replay_ratio = entropy_coef, max_grad_norm, replay_ratio

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        logits = self.actor(torch.as_tensor(obs, dtype=torch.float32)).numpy()
        if explore:  # the largest logit after adding Gumbel noise is a sample of the softmax (Gumbel 1954)
            logits = logits + self.rng.gumbel(size=logits.shape)
        return logits.argmax(axis=-1)

    def learn(self) -> dict[str, float]:
        """One update from new steps, a Poisson number from old (Wang et al., alg. 1). Returns values for curves."""
        batch = self.rollout.take()
        with torch.no_grad():  # the policy is still the one that took these steps, so that π is μ
            batch.log_mu.copy_(F.log_softmax(self.actor(batch.obs), dim=-1))
        drawn = self.update(batch)
        for _ in range(self.rng.poisson(self.replay_ratio)):
            self.update(self.rollout.sample())
        return drawn

    def update(self, batch: Batch) -> dict[str, float]:
        """One update from steps that the policy μ took (Wang et al. 2017, algorithm 2). Returns values for curves."""
        q, logits = self.critic(batch.obs), self.actor(batch.obs)  # [steps, envs, n_actions]
        q_taken = q.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # [steps, envs]
        log_probs = F.log_softmax(logits, dim=-1)  # [steps, envs, n_actions]
        with torch.no_grad():
            next_value = (F.softmax(self.actor(batch.next_obs), dim=-1) * self.critic(batch.next_obs)).sum(dim=-1)
            td_error = batch.reward + self.gamma * (1 - batch.terminated) * next_value - q_taken
            rho = (log_probs - batch.log_mu).exp()  # importance weights π / μ, [steps, envs, n_actions]
            rho_taken = rho.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)  # [steps, envs]
            trace = rho_taken.clamp(max=1) if self.retrace else torch.ones_like(rho_taken)
            q_retrace = q_taken + retrace(td_error, batch.done, trace, self.gamma)
            probs, average_probs = log_probs.exp(), F.softmax(self.average_actor(batch.obs), dim=-1)
            g = policy_gradient(probs, rho, batch.action, q_retrace, q, self.truncation)  # [steps, envs, n_actions]
            z = trust_region(g, probs - average_probs, self.delta)  # k = ∇ KL(average || π) = π - average
        actor_loss = -(z * logits).sum(dim=-1).mean()  # climbs along z
        critic_loss = F.mse_loss(q_taken, q_retrace)
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
        self.optimizer.zero_grad()
        (actor_loss + critic_loss - self.entropy_coef * entropy).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average_actor.parameters()), list(self.actor.parameters()), 1 - self.alpha)
        return {"loss/actor": actor_loss.item(), "loss/critic": critic_loss.item(), "policy/entropy": entropy.item()}

    def state_dict(self) -> dict:
        """All that training needs to go on, without the steps since the last update: a pause ends their episode."""
        parts = ("actor", "average_actor", "critic", "optimizer", "rollout")
        state = {name: getattr(self, name).state_dict() for name in parts}
        return state | {"updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("actor", "average_actor", "critic", "optimizer", "rollout"):
            getattr(self, name).load_state_dict(state[name])
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]


def retrace(td_error: Tensor, done: Tensor, trace: Tensor, gamma: float) -> Tensor:
    """Q^ret_t - Q_t = Σ_s γ^(s-t) c_{t+1} ... c_s δ_s, [steps, envs] (Munos et al. 2016, eq. 3), with `trace` = c."""
    correction, following = torch.zeros_like(td_error), torch.zeros_like(td_error[0])
    for t in reversed(range(len(td_error))):
        correction[t] = td_error[t] + gamma * (1 - done[t]) * following
        following = trace[t] * correction[t]
    return correction


def policy_gradient(probs: Tensor, rho: Tensor, action: Tensor, q_retrace: Tensor, q: Tensor, c: float) -> Tensor:
    """The gradient ĝ with respect to the logits φ, [..., n_actions] (Wang et al. 2017, eq. 10); `rho` is π / μ."""
    value = (probs * q).sum(dim=-1, keepdim=True)
    weight = F.one_hot(action, q.shape[-1]) * rho.clamp(max=c) * (q_retrace.unsqueeze(-1) - value)
    weight = weight + probs * (1 - c / rho).clamp(min=0) * (q - value)  # the mean of what was cut off, where ρ > c
    return weight - probs * weight.sum(dim=-1, keepdim=True)  # Σ_a weight(a) ∇ log π(a)


def trust_region(g: Tensor, k: Tensor, delta: float) -> Tensor:
    """The vector nearest to g among all z with kᵀz ≤ δ, [..., n_actions] (Wang et al. 2017, eqs. 11 and 12)."""
    excess = ((k * g).sum(dim=-1, keepdim=True) - delta).clamp(min=0)
    return g - excess / (k * k).sum(dim=-1, keepdim=True).clamp(min=1e-30) * k  # where k = 0 there is no excess
