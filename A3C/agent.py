"""A3C, the asynchronous advantage actor-critic (Mnih et al. 2016). It differs from A2C in who does the work:

- Many processes: each acts in an environment of its own with a copy of the networks, which it renews for each rollout.
- No locks: each adds its update to the networks and to the optimizer's statistics in shared memory, whether or not
  others are doing so. Now and then a number is lost, which does little harm (Hogwild, Recht et al. 2011).
"""

import copy

from model import Actor, Critic
from replay import Rollout

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Agent:
    """Learns networks for the policy and for the value, and acts by drawing from the policy.

    The learning rate falls linearly to 0 over `learning_steps` steps of all workers. The other settings are explained
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
        n_workers: int,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration
        self.actor = Actor(obs_dim, n_actions, hidden)
        self.critic = Critic(obs_dim, hidden)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps = learning_rate, learning_steps
        self.steps = torch.zeros(n_workers, dtype=torch.int64)  # taken by each worker; their sum is the global counter
        self.rollout = Rollout(n_steps, 1, obs_dim)
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.entropy_coef, self.max_grad_norm = entropy_coef, max_grad_norm

    def share(self) -> "Agent":
        """Move networks, optimizer statistics and counters into shared memory, where worker processes find them."""
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        if not self.optimizer.state:
            self.optimizer.step()  # without a gradient it changes no weight, but makes the statistics
            for statistics in self.optimizer.state.values():
                statistics["step"].zero_()
        self.optimizer.zero_grad()
        statistics = [tensor for state in self.optimizer.state.values() for tensor in state.values()]
        for tensor in (*self.parameters, *statistics, self.steps):
            tensor.share_memory_()
        return self

    def worker(self, rank: int, seed: int) -> "Agent":
        """A copy that acts for worker `rank`, with random numbers of its own."""
        agent = copy.deepcopy(self)
        agent.rank, agent.rng = rank, np.random.default_rng((seed, rank, int(self.steps.sum())))
        return agent

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        logits = self.actor(torch.as_tensor(obs, dtype=torch.float32)).numpy()
        if explore:  # the largest logit after adding Gumbel noise is a sample of the softmax (Gumbel 1954)
            logits = logits + self.rng.gumbel(size=logits.shape)
        return logits.argmax(axis=-1)

    def learn(self, shared: "Agent") -> dict[str, float]:
        """One update of `shared` from the steps in the memory (Mnih et al. 2016, algorithm S3), and a fresh copy of it.

        Returns values for the curves.
        """
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
        shared.steps[self.rank] += batch.reward.numel()
        for parameter, shared_parameter in zip(self.parameters, shared.parameters, strict=True):
            shared_parameter.grad = parameter.grad
        progress = shared.steps.sum().item() / self.learning_steps
        shared.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - progress)
        shared.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, shared.parameters)
        return {
            "loss/actor": actor_loss.item(),
            "loss/critic": critic_loss.item(),
            "policy/entropy": entropy.item(),
        }

    def state_dict(self) -> dict:
        """All that training needs to go on, without the steps since the last update: a pause ends their episode."""
        state = {name: getattr(self, name).state_dict() for name in ("actor", "critic", "optimizer")}
        state = copy.deepcopy(state)  # workers go on changing the original
        return state | {"rng": self.rng.bit_generator.state, "steps": self.steps.sum().item()}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("actor", "critic", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]
        self.steps.zero_()[0] = state["steps"]  # how many of them which worker took does not matter


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
