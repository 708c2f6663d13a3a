"""DIAYN, diversity is all you need (Eysenbach et al. 2019). Two differences from SAC; and α is fixed:

- Each episode has a skill z. Observations contain it, one-hot, so that policy and critics depend on it.
- The task gives no reward. A discriminator learns to tell the skill from the state; the reward is how well it can.
"""

import copy

from model import Actor, Critic, Discriminator
from replay import Batch, ReplayBuffer

import numpy as np
import torch
from torch import Tensor

PARTS = ("actor", "critic", "target_critic", "discriminator", "actor_optimizer", "critic_optimizer")
PARTS += ("skill_optimizer", "replay")


class Agent:
    """Learns networks for the policy and for the action values, and acts by the policy.

    `action_low` and `action_high` [action_dim] are the bounds of the actions; for the networks they are -1 and 1. The
    other settings are explained where they are set, in main.py.
    """

    def __init__(
        self,
        obs_dim: int,
        action_low: np.ndarray,
        action_high: np.ndarray,
        *,
        hidden: int,
        actor_learning_rate: float,
        critic_learning_rate: float,
        gamma: float,
        batch_size: int,
        capacity: int,
        tau: float,
        alpha: float,
        n_skills: int,
        seed: int,
    ):
        torch.set_flush_denormal(True)  # Adam's averages of idle units approach 0, and tiny numbers are slow
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and for replay
        self.actor = Actor(obs_dim, len(action_low), hidden)
        self.critic = Critic(obs_dim, len(action_low), hidden)
        self.discriminator = Discriminator(obs_dim - n_skills, n_skills, hidden)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=critic_learning_rate, fused=True)
        self.skill_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=critic_learning_rate, fused=True)
        self.replay = ReplayBuffer(capacity, obs_dim, np.dtype((np.float32, action_low.shape)), self.rng)
        self.action_low, self.action_high = action_low, action_high
        self.center, self.half = torch.tensor(np.float32([action_high + action_low, action_high - action_low]) / 2)
        self.gamma, self.batch_size, self.tau = gamma, batch_size, tau
        self.alpha, self.n_skills = alpha, n_skills

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or one for each of a batch [batch, obs_dim]."""
        noise = self.gaussian((*obs.shape[:-1], len(self.center))) * explore  # False is 0: no noise
        action, _ = self.actor(torch.as_tensor(obs, dtype=torch.float32), noise)  # [..., action_dim]
        return (self.center + self.half * action).numpy().clip(self.action_low, self.action_high)

    def gaussian(self, shape: tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers."""
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

    def learn(self) -> dict[str, float]:
        """One update from a batch of the replay memory (algorithm 1 of the paper). Returns values for the curves."""
        batch = self.replay.sample(self.batch_size)
        reward = self.learn_discriminator(batch.next_obs)
        drawn = self.learn_critic(batch._replace(reward=reward)) | self.learn_actor(batch)
        self.move_targets()
        return drawn | {"policy/mutual_information": reward.mean().item()}  # of skill and state: lower bound, nats

    def learn_critic(self, batch: Batch) -> dict[str, float]:
        """One step of the critics towards the soft TD target (Haarnoja et al. 2018b, eqs. 2, 3 and 5)."""
        with torch.no_grad():
            next_action, next_log_prob = self.actor(batch.next_obs, self.gaussian(batch.action.shape))
            next_value = self.target_critic(batch.next_obs, next_action).amin(dim=0)  # [batch]
            next_value = next_value - self.alpha * next_log_prob
            td_target = batch.reward + self.gamma * (1 - batch.terminated) * next_value
        q = self.critic(batch.obs, (batch.action - self.center) / self.half)  # [2, batch]
        critic_loss = (q - td_target).square().mean()
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()
        return {"loss/critic": critic_loss.item(), "policy/mean_q": q.mean().item()}

    def learn_actor(self, batch: Batch) -> dict[str, float]:
        """One step of the actor towards the softmax of the critics' values (Haarnoja et al. 2018b, eq. 7)."""
        action, log_prob = self.actor(batch.obs, self.gaussian(batch.action.shape))
        value = self.critic(batch.obs, action).amin(dim=0)  # [batch]
        actor_loss = (self.alpha * log_prob - value).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward(inputs=list(self.actor.parameters()))  # through the critic, whose weights do not change
        self.actor_optimizer.step()
        return {"loss/actor": actor_loss.item(), "policy/entropy": -log_prob.mean().item()}

    def learn_discriminator(self, obs: Tensor) -> Tensor:
        """One step of q(z | s) at `obs` [batch, obs_dim]. Returns log q(z | s) - log p(z) [batch] before it (eq. 3)."""
        state, skill = obs.split([obs.shape[1] - self.n_skills, self.n_skills], dim=1)
        log_q = (self.discriminator(state) * skill).sum(dim=1)  # [batch]
        self.skill_optimizer.zero_grad()
        (-log_q.mean()).backward()
        self.skill_optimizer.step()
        return log_q.detach() + np.log(self.n_skills)  # every skill is as likely, p(z) = 1 / n

    @torch.inference_mode()
    def skill_seen(self, obs: np.ndarray) -> int:
        """The skill that most likely produced a trajectory [steps, obs_dim], judged by its states alone."""
        return int(self.discriminator(torch.as_tensor(obs[:, : -self.n_skills])).sum(dim=0).argmax())

    @torch.no_grad()
    def move_targets(self) -> None:
        """Move the target networks a small step towards the learned networks: θ' ← θ' + τ (θ - θ')."""
        torch._foreach_lerp_(list(self.target_critic.parameters()), list(self.critic.parameters()), self.tau)

    def state_dict(self) -> dict:
        """All that training needs to go on."""
        state = {name: getattr(self, name).state_dict() for name in PARTS}
        return state | {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]
