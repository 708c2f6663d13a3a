"""TD3, the twin delayed deep deterministic policy gradient (Fujimoto et al. 2018). Three differences from DDPG:

- Twin critics: the actor exploits values that are too high, so the target uses the smaller of two critics' values.
- Delay: actor and target networks are updated once in several updates of the critics, when the values are better.
- Smoothed target actions: with noise a target is the value of the neighbourhood of an action, not of a narrow peak.
"""

import copy

from model import Actor, Critic
from noise import Noise
from replay import Batch, ReplayBuffer

import numpy as np
import torch
from torch import Tensor

PARTS = ("actor", "target_actor", "critic", "target_critic", "actor_optimizer", "critic_optimizer", "replay", "noise")


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
        noise: str,
        noise_sigma: float,
        policy_delay: int,
        target_sigma: float,
        target_clip: float,
        seed: int,
    ):
        torch.set_flush_denormal(True)  # Adam's averages of idle units approach 0, and tiny numbers are slow
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and for replay
        self.actor = Actor(obs_dim, len(action_low), hidden)
        self.critic = Critic(obs_dim, len(action_low), hidden)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=critic_learning_rate, fused=True)
        self.replay = ReplayBuffer(capacity, obs_dim, np.dtype((np.float32, action_low.shape)), self.rng)
        self.noise = Noise(noise, noise_sigma)
        self.action_low, self.action_high = action_low, action_high
        self.center, self.half = torch.tensor(np.float32([action_high + action_low, action_high - action_low]) / 2)
        self.gamma, self.batch_size, self.tau = gamma, batch_size, tau
        self.policy_delay, self.target_sigma, self.target_clip = policy_delay, target_sigma, target_clip
        self.updates = 0

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or one for each of a batch [batch, obs_dim]."""
        action = self.actor(torch.as_tensor(obs, dtype=torch.float32))  # [..., action_dim]
        if explore:
            action = action + self.noise.step(self.gaussian(action.shape))
        return (self.center + self.half * action).numpy().clip(self.action_low, self.action_high)

    def gaussian(self, shape: tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers."""
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

    def learn(self) -> dict[str, float]:
        """One update from a batch of the replay memory (algorithm 1 of the paper). Returns values for the curves."""
        batch = self.replay.sample(self.batch_size)
        drawn = self.learn_critic(batch)
        self.updates += 1
        if self.updates % self.policy_delay == 0:
            drawn |= self.learn_actor(batch)
            self.move_targets()
        return drawn

    def learn_critic(self, batch: Batch) -> dict[str, float]:
        """One step of both critics towards the same TD target."""
        with torch.no_grad():
            next_action = self.target_actor(batch.next_obs)  # [batch, action_dim]
            noise = self.target_sigma * self.gaussian(next_action.shape)
            next_action = (next_action + noise.clamp(-self.target_clip, self.target_clip)).clamp(-1, 1)
            next_value = self.target_critic(batch.next_obs, next_action).amin(dim=0)  # [batch]
            td_target = batch.reward + self.gamma * (1 - batch.terminated) * next_value
        q = self.critic(batch.obs, (batch.action - self.center) / self.half)  # [2, batch]
        critic_loss = (q - td_target).square().mean()
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()
        return {"loss/critic": critic_loss.item(), "policy/mean_q": q.mean().item()}

    def learn_actor(self, batch: Batch) -> dict[str, float]:
        """One actor step up the critic's gradient: the deterministic policy gradient (Lillicrap et al., eq. 6)."""
        actor_loss = -self.critic(batch.obs, self.actor(batch.obs), networks=1).mean()  # the first critic is enough
        self.actor_optimizer.zero_grad()
        actor_loss.backward(inputs=list(self.actor.parameters()))  # through the critic, whose weights do not change
        self.actor_optimizer.step()
        return {"loss/actor": actor_loss.item()}

    @torch.no_grad()
    def move_targets(self) -> None:
        """Move the target networks a small step towards the learned networks: θ' ← θ' + τ (θ - θ')."""
        targets = [*self.target_actor.parameters(), *self.target_critic.parameters()]
        torch._foreach_lerp_(targets, [*self.actor.parameters(), *self.critic.parameters()], self.tau)

    def state_dict(self) -> dict:
        """All that training needs to go on."""
        state = {name: getattr(self, name).state_dict() for name in PARTS}
        return state | {"updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]
