"""DPPO, distributed proximal policy optimisation (Heess et al. 2017; equations: PPO's). Three differences from PPO:

- Workers: each of many processes has environments, a rollout and random numbers of its own, and the same weights.
- Averaging: before each step of the optimiser the gradients of all workers are averaged, so the weights stay the same.
- Statistics: advantages are normalised by their mean and deviation over all workers.
"""

from model import Actor, Critic
from replay import Rollout

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class Agent:
    """Learns networks for the policy and for the value, and acts by drawing from the policy. Each worker has one.

    actions: how many there are, or the lowest and the highest action vector; samples may lie outside these. The
    learning rate falls linearly to 0 over `learning_steps` updates of all workers. main.py explains the other settings.
    Without a process group of torch.distributed the agent is the same as PPO's.
    """

    def __init__(
        self,
        obs_dim: int,
        actions: int | tuple[np.ndarray, np.ndarray],
        *,
        hidden: int,
        log_std: float,
        learning_rate: float,
        learning_steps: float,
        gamma: float,
        gae_lambda: float,
        clip: float,
        entropy_coef: float,
        max_grad_norm: float,
        n_epochs: int,
        minibatch_size: int,
        n_steps: int,
        n_envs: int,
        seed: int,
    ):
        self.rank, self.n_workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        torch.manual_seed(seed)  # for the networks' first weights, the same in all workers
        self.rng = np.random.Generator(np.random.PCG64(seed).jumped(self.rank))  # not the same: for acting, minibatches
        self.actor = Actor(obs_dim, actions, hidden, log_std)
        self.critic = Critic(obs_dim, hidden)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.learning_rate, self.learning_steps, self.updates = learning_rate, learning_steps / self.n_workers, 0
        self.box = (0, actions - 1) if isinstance(actions, int) else actions  # main.py clips sampled actions to it
        action_type = np.int64 if isinstance(actions, int) else (np.float32, len(actions[0]))
        self.rollout = Rollout(n_steps, n_envs, obs_dim, action_type)
        self.gamma, self.gae_lambda, self.clip = gamma, gae_lambda, clip
        self.entropy_coef, self.max_grad_norm = entropy_coef, max_grad_norm
        self.n_epochs, self.minibatch_size = n_epochs, minibatch_size

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        policy = self.actor(torch.as_tensor(obs, dtype=torch.float32))
        return self.actor.sample(policy, self.rng).numpy() if explore else policy.mode.numpy().clip(*self.box)

    def learn(self) -> dict[str, float]:
        """Some epochs of updates from the steps in the memory (algorithm 1). Returns values for the curves."""
        batch = self.rollout.take()
        with torch.no_grad():
            value = self.critic(batch.obs)  # [steps, envs]
            td_error = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs) - value
            advantage = gae(td_error, batch.done, self.gamma * self.gae_lambda)
            returns = advantage + value
            average(moments := [advantage.mean(), advantage.square().mean()])
            advantage = (advantage - moments[0]) / ((moments[1] - moments[0] ** 2).clamp(min=0).sqrt() + 1e-8)
            old_log_prob = self.actor(batch.obs).log_prob(batch.action)  # of the policy that acted
        samples = [x.flatten(0, 1) for x in (batch.obs, batch.action, old_log_prob, advantage, returns)]
        drawn = []
        for _ in range(self.n_epochs):
            order = torch.from_numpy(self.rng.permutation(returns.numel()))
            drawn += [self.update(*(x[index] for x in samples)) for index in order.split(self.minibatch_size)]
        mean = {name: sum(values[name] for values in drawn) / len(drawn) for name in drawn[0]}
        explained = 1 - (returns - value).var() / (returns.var() + 1e-8)  # share of the variance that V predicted
        return mean | {"loss/explained_variance": explained.item()}

    def update(
        self, obs: Tensor, action: Tensor, old_log_prob: Tensor, advantage: Tensor, returns: Tensor
    ) -> dict[str, float]:
        """One update from a minibatch (eq. 7 and 9); all tensors [minibatch, ...]. Returns values for the curves."""
        policy = self.actor(obs)
        log_ratio = policy.log_prob(action) - old_log_prob
        ratio = log_ratio.exp()  # π(a | s) / π_old(a | s)
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        actor_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        critic_loss = F.mse_loss(self.critic(obs), returns)
        entropy = policy.entropy().mean()
        self.optimizer.zero_grad()
        (actor_loss + critic_loss - self.entropy_coef * entropy).backward()
        average([parameter.grad for parameter in self.parameters])
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * max(0.0, 1 - self.updates / self.learning_steps)
        self.optimizer.step()
        self.updates += 1
        return {
            "loss/actor": actor_loss.item(),
            "loss/critic": critic_loss.item(),
            "policy/entropy": entropy.item(),
            "policy/kl": (ratio - 1 - log_ratio).mean().item(),  # KL(π_old ‖ π), low-variance estimator
            "policy/clip_fraction": ((ratio - 1).abs() > self.clip).float().mean().item(),
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
        if self.rank:  # what was saved are the random numbers of the first worker
            self.rng = np.random.Generator(self.rng.bit_generator.jumped(self.rank))


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


def average(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over all workers, bit for bit the same in all; one message for all tensors."""
    if dist.is_initialized():
        dist.all_reduce(message := parameters_to_vector(tensors))  # their sum
        vector_to_parameters(message / dist.get_world_size(), tensors)
