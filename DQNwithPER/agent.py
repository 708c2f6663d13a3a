"""DQN with prioritised experience replay (Schaul et al. 2016). Two differences from DQN:

- Prioritised sampling: by |TD error|^α, as it was when the transition was last learned from, and not uniformly.
- Importance weights (N · P)^-β in the loss correct the bias that sampling some transitions more often brings.
"""

import copy

from model import QNetwork
from replay import PrioritizedReplayBuffer

import numpy as np
import torch
import torch.nn.functional as F


class Agent:
    """Learns a network for the action values, and acts ε-greedily on them.

    The learning rate falls linearly to 0 over `learning_steps` updates, so that the network comes to rest,
    and the chance ε of a random action from `epsilon_start` to `epsilon_end` over `epsilon_steps` actions. The other
    settings are explained where they are set, in main.py.
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
        batch_size: int,
        capacity: int,
        per_alpha: float,
        per_beta: float,
        tau: float,
        huber_delta: float,
        epsilon_start: float,
        epsilon_end: float,
        epsilon_steps: float,
        double_q: bool,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and for replay
        self.q_net = QNetwork(obs_dim, n_actions, hidden)
        self.target_net = copy.deepcopy(self.q_net).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.q_net.parameters(), lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps, self.updates = learning_rate, learning_steps, 0
        self.replay = PrioritizedReplayBuffer(
            capacity, obs_dim, np.int64, self.rng, per_alpha, per_beta, learning_steps
        )
        self.n_actions, self.gamma, self.batch_size = n_actions, gamma, batch_size
        self.tau, self.huber_delta, self.double_q, self.actions = tau, huber_delta, double_q, 0
        self.epsilon_start, self.epsilon_end, self.epsilon_steps = epsilon_start, epsilon_end, epsilon_steps

    @property
    def epsilon(self) -> float:
        """The chance ε that the next action is a random one."""
        fraction = min(1.0, self.actions / self.epsilon_steps)
        return self.epsilon_start + fraction * (self.epsilon_end - self.epsilon_start)

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or one for each of a batch [batch, obs_dim]: ε-greedy or greedy."""
        action = self.q_net(torch.as_tensor(obs, dtype=torch.float32)).argmax(dim=-1).numpy()
        if explore:
            random_action = self.rng.integers(self.n_actions, size=action.shape)
            action = np.where(self.rng.random(action.shape) < self.epsilon, random_action, action)
            self.actions += action.size
        return action[()]  # for one observation a number, not an array without dimensions

    def learn(self) -> dict[str, float]:
        """One update from a batch of the replay memory (Mnih et al., algorithm 1). Returns values for the curves."""
        batch, index, weight = self.replay.sample_prioritized(self.batch_size)
        with torch.no_grad():
            next_q = self.target_net(batch.next_obs)  # [batch, n_actions]
            # The maximum of several noisy values is too high on average. In Double DQN the online network chooses the
            # action and the target network values it: the error that misled the choice is not in the value as well.
            choosing_q = self.q_net(batch.next_obs) if self.double_q else next_q
            next_value = next_q.gather(1, choosing_q.argmax(dim=1, keepdim=True)).squeeze(1)  # [batch]
            td_target = batch.reward + self.gamma * (1 - batch.terminated) * next_value
        q = self.q_net(batch.obs).gather(1, batch.action.unsqueeze(1)).squeeze(1)  # [batch]
        loss = (weight * F.huber_loss(q, td_target, delta=self.huber_delta, reduction="none")).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
        self.replay.update_priorities(index, (td_target - q).detach().numpy())
        with torch.no_grad():
            torch._foreach_lerp_(list(self.target_net.parameters()), list(self.q_net.parameters()), self.tau)
        return {"loss/q": loss.item(), "policy/mean_q": q.mean().item(), "policy/epsilon": self.epsilon}

    def state_dict(self) -> dict:
        """All that training needs to go on."""
        parts = ("q_net", "target_net", "optimizer", "replay")
        state = {name: getattr(self, name).state_dict() for name in parts}
        return state | {"actions": self.actions, "updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("q_net", "target_net", "optimizer", "replay"):
            getattr(self, name).load_state_dict(state[name])
        self.actions, self.updates, self.rng.bit_generator.state = state["actions"], state["updates"], state["rng"]
