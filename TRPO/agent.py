"""TRPO, trust region policy optimisation (Schulman et al. 2015). It updates the actor in another way than PPO:

- Trust region: one step for each rollout, to the best policy whose mean KL divergence from the old one is at most δ.
- Natural gradient: near the old policy the gain is linear, with gradient g, and the divergence is quadratic, with the
  Fisher matrix F. The best direction is F⁻¹ g. Conjugate gradients find it; they need only products F v.
- Line search: both are approximations. The step is halved until the true gain is positive and the true divergence ≤ δ.
"""

from collections.abc import Callable

from model import Actor, Critic
from replay import Rollout

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad
from torch.distributions import Distribution, kl_divergence
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class Agent:
    """Learns networks for the policy and for the value, and acts by drawing from the policy.

    actions: how many there are, or the lowest and the highest action vector; samples may lie outside these. The
    settings are explained where they are set, in main.py.
    """

    def __init__(
        self,
        obs_dim: int,
        actions: int | tuple[np.ndarray, np.ndarray],
        *,
        hidden: int,
        log_std: float,
        learning_rate: float,
        gamma: float,
        gae_lambda: float,
        delta: float,
        damping: float,
        cg_steps: int,
        line_search_steps: int,
        n_epochs: int,
        minibatch_size: int,
        n_steps: int,
        n_envs: int,
        seed: int,
    ):
        torch.manual_seed(seed)  # for the networks' first weights
        self.rng = np.random.default_rng(seed)  # for exploration and minibatches
        self.actor = Actor(obs_dim, actions, hidden, log_std)
        self.critic = Critic(obs_dim, hidden)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=learning_rate, fused=True)
        self.box = (0, actions - 1) if isinstance(actions, int) else actions  # main.py clips sampled actions to it
        action_type = np.int64 if isinstance(actions, int) else (np.float32, len(actions[0]))
        self.rollout = Rollout(n_steps, n_envs, obs_dim, action_type)
        self.gamma, self.gae_lambda, self.delta, self.damping = gamma, gae_lambda, delta, damping
        self.cg_steps, self.line_search_steps = cg_steps, line_search_steps
        self.n_epochs, self.minibatch_size = n_epochs, minibatch_size

    @torch.inference_mode()
    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one observation [obs_dim], or for each of a batch [batch, obs_dim]: sampled, or the mode."""
        policy = self.actor(torch.as_tensor(obs, dtype=torch.float32))
        return self.actor.sample(policy, self.rng).numpy() if explore else policy.mode.numpy().clip(*self.box)

    def learn(self) -> dict[str, float]:
        """One update of the actor and some epochs of the critic's (section 6). Returns values for the curves."""
        batch = self.rollout.take()
        with torch.no_grad():
            value = self.critic(batch.obs)  # [steps, envs]
            td_error = batch.reward + self.gamma * (1 - batch.terminated) * self.critic(batch.next_obs) - value
            advantage = gae(td_error, batch.done, self.gamma * self.gae_lambda)
            returns = advantage + value
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
            old_policy = self.actor(batch.obs)  # the one that acted
        drawn = self.update_actor(batch.obs, batch.action, advantage, old_policy)
        obs, target, losses = batch.obs.flatten(0, 1), returns.flatten(), []
        for _ in range(self.n_epochs):
            for index in torch.from_numpy(self.rng.permutation(len(obs))).split(self.minibatch_size):
                critic_loss = F.mse_loss(self.critic(obs[index]), target[index])
                self.optimizer.zero_grad()
                critic_loss.backward()
                self.optimizer.step()
                losses.append(critic_loss.item())
        explained = 1 - (returns - value).var() / (returns.var() + 1e-8)  # share of the variance that V predicted
        return drawn | {"loss/critic": sum(losses) / len(losses), "loss/explained_variance": explained.item()}

    def update_actor(self, obs: Tensor, action: Tensor, advantage: Tensor, old_pi: Distribution) -> dict[str, float]:
        """One step inside the trust region (appendix C); all tensors [steps, envs, ...]. Returns values for curves."""
        theta, policy = list(self.actor.parameters()), self.actor(obs)
        old_theta, old_log_prob = parameters_to_vector(theta).detach(), old_pi.log_prob(action)
        g = parameters_to_vector(grad((policy.log_prob(action) * advantage).mean(), theta, retain_graph=True))
        kl_gradient = parameters_to_vector(grad(kl_divergence(old_pi, policy).mean(), theta, create_graph=True))

        def fisher_product(v: Tensor) -> Tensor:  # F v is the gradient of (∇ KL)ᵀ v
            return parameters_to_vector(grad(kl_gradient @ v, theta, retain_graph=True)) + self.damping * v

        x = conjugate_gradients(fisher_product, g, self.cg_steps)
        step = torch.sqrt(2 * self.delta / (x @ fisher_product(x) + 1e-12)) * x  # so long that ½ stepᵀ F step = δ
        for fraction in [*(0.5**i for i in range(self.line_search_steps)), 0.0]:  # if none is good, nothing moves
            vector_to_parameters(old_theta + fraction * step, theta)
            with torch.no_grad():
                policy = self.actor(obs)
                ratio = (policy.log_prob(action) - old_log_prob).exp()  # π(a | s) / π_old(a | s)
                gain = ((ratio - 1) * advantage).mean().item()  # of the surrogate objective, eq. 14
                kl, entropy = kl_divergence(old_pi, policy).mean().item(), policy.entropy().mean().item()
            if gain > 0 and kl <= self.delta:
                break
        return {"loss/actor": -gain, "policy/kl": kl, "policy/entropy": entropy}

    def state_dict(self) -> dict:
        """All that training needs to go on, without the steps since the last update: a pause ends their episode."""
        state = {name: getattr(self, name).state_dict() for name in ("actor", "critic", "optimizer")}
        return state | {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        for name in ("actor", "critic", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]


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


def conjugate_gradients(product: Callable[[Tensor], Tensor], b: Tensor, n_steps: int) -> Tensor:
    """The solution x [n] of A x = b for a positive definite A, from products A v alone (Hestenes & Stiefel 1952)."""
    x, residual, direction, size = torch.zeros_like(b), b, b, b @ b
    for _ in range(n_steps):
        a_direction = product(direction)
        length = size / (direction @ a_direction + 1e-20)  # no division by 0 if b is 0
        x, residual = x + length * direction, residual - length * a_direction
        last_size, size = size, residual @ residual
        direction = residual + size / (last_size + 1e-20) * direction
    return x
