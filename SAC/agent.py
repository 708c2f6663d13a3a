"""SAC, the soft actor-critic (Haarnoja et al. 2018a, 2018b). Two differences from TD3:

- Soft values: a unit of entropy is worth α, to the actor now and to the critics in every later step. The policy is a
  distribution: it explores by itself, and its samples are the target actions. Noise, delay and target actor are gone.
- Learned temperature: α is adjusted so that the entropy stays near a target.
"""

import copy

from model import Actor, Critic, Temperature
from replay import Batch, ReplayBuffer

import numpy as np
import torch
from torch import Tensor

PARTS = ("actor", "critic", "target_critic", "temperature", "actor_optimizer", "critic_optimizer")
PARTS += ("temperature_optimizer", "replay")


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
        seed: int,
    ):
        torch.set_flush_denormal(True)  # Adam's averages of idle units approach 0, and tiny numbers are slow
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and for replay
        self.actor = Actor(obs_dim, len(action_low), hidden)
        self.critic = Critic(obs_dim, len(action_low), hidden)
        self.temperature = Temperature()
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=critic_learning_rate, fused=True)
        self.temperature_optimizer = torch.optim.Adam(self.temperature.parameters(), lr=actor_learning_rate, fused=True)
        self.replay = ReplayBuffer(capacity, obs_dim, np.dtype((np.float32, action_low.shape)), self.rng)
        self.action_low, self.action_high = action_low, action_high
        self.center, self.half = torch.tensor(np.float32([action_high + action_low, action_high - action_low]) / 2)
        self.gamma, self.batch_size, self.tau = gamma, batch_size, tau
        self.target_entropy = -len(action_low)  # in nats: -1 for each number of an action, as in the paper

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
        drawn = self.learn_critic(batch) | self.learn_actor(batch)
        self.move_targets()
        return drawn

    def learn_critic(self, batch: Batch) -> dict[str, float]:
        """One step of the critics towards the soft TD target (Haarnoja et al. 2018b, eqs. 2, 3 and 5)."""
        with torch.no_grad():
            next_action, next_log_prob = self.actor(batch.next_obs, self.gaussian(batch.action.shape))
            next_value = self.target_critic(batch.next_obs, next_action).amin(dim=0)  # [batch]
            next_value = next_value - self.temperature() * next_log_prob
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
        actor_loss = (self.temperature().detach() * log_prob - value).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward(inputs=list(self.actor.parameters()))  # through the critic, whose weights do not change
        self.actor_optimizer.step()
        return {"loss/actor": actor_loss.item()} | self.learn_temperature(-log_prob.detach().mean())

    def learn_temperature(self, entropy: Tensor) -> dict[str, float]:
        """One step of α: it rises where the policy's entropy is below its target (Haarnoja et al. 2018b, eq. 18)."""
        temperature_loss = self.temperature() * (entropy - self.target_entropy)
        self.temperature_optimizer.zero_grad()
        temperature_loss.backward()
        self.temperature_optimizer.step()
        return {"policy/entropy": entropy.item(), "policy/alpha": self.temperature().item()}

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
