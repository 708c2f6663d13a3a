"""The worked examples of the pages ("One update in numbers"), computed by each folder's own code.

EXAMPLES has a function for each folder. It returns {name: number, or a list of numbers}. A name is the first cell of a
table's row, which holds the numbers; or it is part of a formula in the text, and the number follows it after " = ".
"""

import copy
import math
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from folders import load
from torch import nn


def locals_of(call: Callable, *functions: Callable) -> list[dict]:
    """Call `call`. For each function the local variables that it had when it last returned."""
    codes, last = [function.__code__ for function in functions], {}

    def note(frame, event, _):
        if event == "return" and frame.f_code in codes:
            last[frame.f_code] = dict(frame.f_locals)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [last[code] for code in codes]


def make_table(features: nn.Sequential, last: nn.Linear, rows: list[list[float]]) -> None:
    """Make the network a table: at the observation with its 1 in place i it gives column i of `rows`, exactly."""
    with torch.no_grad():
        for layer in features[::2]:
            layer.weight.copy_(20 * torch.eye(len(layer.weight)))  # tanh(20) is 1 in float32
            layer.bias.zero_()
        last.weight.copy_(torch.tensor(rows))
        last.bias.zero_()


def ppo() -> dict[str, float | list[float]]:
    """Four steps, and one update after others have moved the policy: the four cases of the clip."""
    agent_module = load("PPO").agent
    gamma, gae_lambda, clip, states = 0.8, 0.5, 0.2, np.eye(4, dtype=np.float32)
    agent = agent_module.Agent(
        4, 2, hidden=4, log_std=0.0, learning_rate=1e-3, learning_steps=10**9, gamma=gamma, gae_lambda=gae_lambda,
        clip=clip, entropy_coef=0.0, max_grad_norm=1e9, n_epochs=1, minibatch_size=4, n_steps=4, n_envs=1, seed=0,
    )  # fmt: skip
    reward, action, value = [2, 0, 2, 2], [1, 0, 0, 1], [1, 3, 1, 3]
    old, new = [0.5, 0.5, 0.8, 0.25], [0.75, 0.3, 0.56, 0.35]  # probabilities of these actions
    make_table(agent.critic.features, agent.critic.value, [value])

    def set_policy(probs: list[float]) -> None:
        both = [[p if a == k else 1 - p for p, a in zip(probs, action, strict=True)] for k in (0, 1)]
        make_table(agent.actor.features, agent.actor.logits, np.log(both).tolist())

    def update_later(*minibatch):
        set_policy(new)
        return update(*minibatch)

    set_policy(old)
    for t in range(4):
        ended = [float(t == 3)]
        agent.rollout.add(states[[t]], [action[t]], [reward[t]], states[[min(t + 1, 3)]], ended, ended)
    update, agent.update = agent.update, update_later
    drawn = {}
    learned, summed, updated = locals_of(
        lambda: drawn.update(agent.learn()), type(agent).learn, agent_module.gae, type(agent).update
    )
    order = updated["obs"].argmax(dim=1).argsort()  # the minibatch was shuffled

    def column(values) -> list[float]:
        return values.detach()[order].tolist()

    ratio, advantage = updated["ratio"].detach(), updated["advantage"]
    gain, clipped_gain = ratio * advantage, updated["clipped"].detach() * advantage
    now = (updated["log_ratio"] + updated["old_log_prob"]).detach().exp()
    logit_gradient = agent.actor.logits.weight.grad[updated["action"], updated["obs"].argmax(dim=1)]
    batch, td_error, value = learned["batch"], learned["td_error"].flatten(), learned["value"].flatten()
    return {
        r"\gamma": agent.gamma,
        r"\lambda": agent.gae_lambda,
        r"\gamma\lambda": summed["decay"],
        r"\varepsilon_{\text{clip}}": agent.clip,
        r"$R_{t+1}$": batch.reward.flatten().tolist(),
        r"$V(S_t)$": value.tolist(),
        r"$V(S_{t+1})$": ((td_error - batch.reward.flatten() + value) / gamma).tolist(),
        r"$\delta_t$": td_error.tolist(),
        r"$\hat A_t$": summed["advantage"].flatten().tolist(),
        r"$G^\lambda_t$": learned["returns"].flatten().tolist(),
        r"$\tilde A_t$": learned["advantage"].flatten().tolist(),
        r"\text{mean}": summed["advantage"].mean().item(),
        r"\text{std}": summed["advantage"].std(correction=0).item(),
        r"$A_t$": column(updated["action"]),
        r"$\pi_{\text{old}}(A_t \mid S_t)$": column(updated["old_log_prob"].exp()),
        r"$\pi(A_t \mid S_t)$": column(now),
        r"$r_t$": column(ratio),
        r"$r_t \tilde A_t$": column(gain),
        r"$\mathrm{clip}(r_t) \tilde A_t$": column(clipped_gain),
        r"$\min$": column(torch.min(gain, clipped_gain)),
        r"$\partial L / \partial \log \pi(A_t \mid S_t)$": column(logit_gradient / (1 - now)),
        r"$r_t - 1 - \log r_t$": column(ratio - 1 - updated["log_ratio"].detach()),
        r"L_{\text{actor}}": drawn["loss/actor"],
        r"L_{\text{critic}}": drawn["loss/critic"],
        "L": drawn["loss/actor"] + drawn["loss/critic"],
        r"\overline{r_t \tilde A_t}": gain.mean().item(),
        r"\text{KL}": drawn["policy/kl"],
        r"\text{clip fraction}": drawn["policy/clip_fraction"],
    }


def table_policy(probs: list[float], action: list[int]) -> list[list[float]]:
    """For `make_table`: the preferences of two actions, with which `action` has these probabilities."""
    return np.log([[p if a == k else 1 - p for p, a in zip(probs, action, strict=True)] for k in (0, 1)]).tolist()


def policy_gradient() -> dict[str, float | list[float]]:
    """Five steps of two episodes: returns, the baseline, and the gradient of the preferences."""
    agent_module = load("PolicyGradient(PG)").agent
    agent = agent_module.Agent(
        5, 2, hidden=5, learning_rate=1e-3, learning_steps=10**9, gamma=0.5, capacity=5, seed=0
    )  # fmt: skip
    action, probs = [1, 0, 1, 1, 0], [0.5, 0.8, 0.5, 0.25, 0.75]
    make_table(agent.actor.features, agent.actor.logits, table_policy(probs, action))
    for step in zip(np.eye(5), action, [4, 3, 2, 0, 2], [0, 0, 1, 0, 1], strict=True):
        agent.rollout.add(*step)
    [learned] = locals_of(agent.learn, type(agent).learn)
    batch, returns, log_prob = learned["batch"], learned["returns"], learned["log_prob"].detach()
    gradient = agent.actor.logits.weight.grad[batch.action, torch.arange(5)]
    return {
        r"\gamma": agent.gamma,
        r"$R_{t+1}$": batch.reward.tolist(),
        r"$G_t$": returns.tolist(),
        r"$\hat A_t$": learned["advantage"].tolist(),
        r"$A_t$": batch.action.tolist(),
        r"$\pi(A_t \mid S_t)$": log_prob.exp().tolist(),
        r"$\log \pi(A_t \mid S_t)$": log_prob.tolist(),
        r"$\partial L / \partial h(A_t)$": gradient.tolist(),
        r"$-G_t (1 - \pi(A_t \mid S_t)) / 5$": (-returns * (1 - log_prob.exp()) / 5).tolist(),
        r"\text{mean}": returns.mean().item(),
        r"\text{std}": returns.std().item(),
        "L": learned["loss"].item(),
    }


DQN_SETTINGS = {
    "learning_rate": 0.1, "learning_steps": 10**9, "gamma": 0.9, "batch_size": 1, "capacity": 4, "tau": 0.2,
    "double_q": True, "epsilon_start": 1.0, "epsilon_end": 1.0, "epsilon_steps": 1, "seed": 0,
}  # fmt: skip


def make_q_table(features: nn.Sequential, *heads: tuple[nn.Linear, list[list[float]]]) -> None:
    """Make the network a table: at the observation with its 1 in place i each head gives column i of its rows."""
    with torch.no_grad():
        for linear, norm in zip(features[::3], features[1::3], strict=True):
            linear.weight.copy_(1e3 * torch.eye(len(linear.weight)))
            linear.bias.zero_()
            norm.weight.fill_((len(norm.weight) - 1) ** -0.5)  # a single 1 among n numbers is normalised to √(n - 1)
        for head, rows in heads:
            head.weight.copy_(torch.tensor(rows))
            head.bias.zero_()


def dqn() -> dict[str, float | list[float]]:
    """One transition three times: with Double DQN, as in the DQN of 2015, and with Double DQN at a terminal state."""
    agent_module = load("DeepQLearningNetwork(DQN)").agent
    states = np.eye(2, dtype=np.float32)
    online, target = [[3, 4], [1, 5], [1.8, 2]], [[2, 6], [2, 2], [1.4, 3]]  # a row for each action
    seen = []
    for double_q, terminated in ((True, False), (False, False), (True, True)):
        settings = DQN_SETTINGS | {"hidden": 2, "huber_delta": 2.0, "double_q": double_q}
        agent = agent_module.Agent(2, 3, **settings)
        make_q_table(agent.q_net.features, (agent.q_net.q, online))
        make_q_table(agent.target_net.features, (agent.target_net.q, target))
        q, target_q = (net(torch.from_numpy(states)).tolist() for net in (agent.q_net, agent.target_net))
        agent.replay.add(states[0], 2, 1.0, states[1], terminated)
        (learned,) = locals_of(agent.learn, type(agent).learn)
        seen.append(learned)
    agent, learned = seen[0]["self"], seen[0]
    return {
        r"\gamma": agent.gamma,
        r"\kappa": agent.huber_delta,
        r"\tau": agent.tau,
        r"\alpha": agent.learning_rate,
        "R_{t+1}": learned["batch"].reward.item(),
        "A_t": learned["batch"].action.item(),
        "$Q(S_t, a; w)$": q[0],
        "$Q(S_{t+1}, a; w)$": q[1],
        "$Q(S_{t+1}, a; w^-)$": target_q[1],
        r"$a^\ast$": [local["choosing_q"].argmax().item() for local in seen],
        r"$Q(S_{t+1}, a^\ast; w^-)$": [local["next_value"].item() for local in seen],
        "$y_t$": [local["td_target"].item() for local in seen],
        r"$\delta_t$": [(local["td_target"] - local["q"]).item() for local in seen],
        "$L$": [local["loss"].item() for local in seen],
        r"$\partial L / \partial Q(S_t, A_t; w)$": [local["self"].q_net.q.weight.grad[2, 0].item() for local in seen],
        "v": agent.q_net.q.weight[2, 0].item(),
        r"v^-_{\text{old}}": float(target[2][0]),
        "v^-": agent.target_net.q.weight[2, 0].item(),
    }


def dueling() -> dict[str, float | list[float]]:
    """One state, and one update by plain gradient descent of the last layers' biases alone, here and in DQN."""
    state, advantage, step = np.eye(4, dtype=np.float32)[0], torch.tensor([[4.0], [1.0], [1.0], [2.0]]), 0.1
    settings = DQN_SETTINGS | {"hidden": 4, "huber_delta": 20.0}

    def make(folder: str, **heads: torch.Tensor):
        """An agent whose heads have these values [outputs, 1] in every state."""
        agent = load(folder).agent.Agent(4, 4, **settings)
        tables = [(getattr(agent.q_net, name), rows.expand(-1, 4).tolist()) for name, rows in heads.items()]
        make_q_table(agent.q_net.features, *tables)
        return agent, heads

    def values(agent) -> torch.Tensor:
        return agent.q_net(torch.from_numpy(state)).detach()

    def changes(agent, heads: dict) -> tuple[list[list[float]], list[float], dict]:
        """The gradients of the heads' outputs, how the update changes the action values, and learn's variables."""
        old = copy.deepcopy(agent)
        agent.replay.add(state, 0, 9.0, state, True)
        (learned,) = locals_of(agent.learn, type(agent).learn)
        gradients = [getattr(agent.q_net, name).bias.grad for name in heads]
        before = values(old)
        with torch.no_grad():
            for name, gradient in zip(heads, gradients, strict=True):
                getattr(old.q_net, name).bias.sub_(step * gradient)
        return [gradient.tolist() for gradient in gradients], (values(old) - before).tolist(), learned

    agent, heads = make("DuelingDQN", value=torch.tensor([[5.0]]), advantage=advantage)
    (inside,) = locals_of(lambda: values(agent), type(agent.q_net).forward)
    moved, _ = make("DuelingDQN", value=torch.tensor([[-5.0]]), advantage=advantage + 10)
    (moved_inside,) = locals_of(lambda: values(moved), type(moved.q_net).forward)
    value, moved_value = agent.q_net.value(inside["features"]), moved.q_net.value(moved_inside["features"])
    q = values(agent)
    (of_value, of_advantage), dueling_change, learned = changes(agent, heads)
    _, plain_change, _ = changes(*make("DeepQLearningNetwork(DQN)", q=q.unsqueeze(1)))
    return {
        "V(s)": value.item(),
        r"\overline{A}(s)": inside["advantage"].mean().item(),
        "$A(s, a)$": inside["advantage"].tolist(),
        r"$A(s, a) - \overline{A}(s)$": (inside["advantage"] - inside["advantage"].mean()).tolist(),
        "$Q(s, a)$": q.tolist(),
        "V'(s)": moved_value.item(),
        "$V(s) + A(s, a)$": (value + inside["advantage"]).tolist(),
        "$V'(s) + A'(s, a)$": (moved_value + moved_inside["advantage"]).tolist(),
        "$Q'(s, a)$": values(moved).tolist(),
        r"\alpha": step,
        "y": learned["td_target"].item(),
        r"\delta": (learned["td_target"] - learned["q"]).item(),
        "L": learned["loss"].item(),
        "g": of_value[0],
        r"$\partial L / \partial A(s, a)$": of_advantage,
        r"$\Delta Q(s, a)$, dueling": dueling_change,
        r"$\Delta Q(s, a)$, DQN": plain_change,
    }


def per() -> dict[str, float | list[float]]:
    """Four transitions of which two are sampled, and the update from these two."""
    states, reward = np.eye(4, dtype=np.float32), [0, 1, 0, -9]
    settings = DQN_SETTINGS | {"hidden": 4, "huber_delta": 4.0, "batch_size": 2, "per_alpha": 0.5, "per_beta": 1.0}
    agent = load("DQNwithPER").agent.Agent(4, 2, **settings)
    memory = agent.replay
    make_q_table(agent.q_net.features, (agent.q_net.q, [[0.0] * 4] * 2))
    for i in range(4):
        memory.add(states[i], 0, reward[i], states[i], True)
    old_error = np.array([1.0, -4.0, 9.0, -16.0])
    memory.update_priorities(np.arange(4), old_error)
    nodes, leaves = memory.priorities.nodes.copy(), memory.priorities.leaves.copy()
    memory.rng = SimpleNamespace(random=lambda n: np.full(n, 0.5))
    learned, sampled = locals_of(agent.learn, type(agent).learn, type(memory).sample_prioritized)
    td_error, weight = (learned["td_target"] - learned["q"]).detach(), learned["weight"]
    new = memory.priorities
    return {
        r"\alpha": memory.alpha,
        r"\beta": sampled["beta"],
        r"\kappa": agent.huber_delta,
        "N": len(memory),
        r"$\delta_i^{\text{old}}$": old_error.tolist(),
        "$p_i$": leaves.tolist(),
        "$P(i)$": (leaves / nodes[1]).tolist(),
        "$N P(i)$": (len(memory) * leaves / nodes[1]).tolist(),
        r"\sum_k p_k": nodes[1],
        "p_0 + p_1": nodes[2],
        "p_2 + p_3": nodes[3],
        "$m$": sampled["mass"].tolist(),
        "$i$": sampled["index"].tolist(),
        r"$(N P(i))^{-\beta}$": sampled["weight"].tolist(),
        "$w_i$": weight.tolist(),
        "$y_i$": learned["td_target"].tolist(),
        "$Q(S_i, A_i)$": learned["q"].tolist(),
        r"$\delta_i$": td_error.tolist(),
        r"$\mathrm{Huber}_\kappa(\delta_i)$": F.huber_loss(
            td_error, torch.zeros(2), delta=agent.huber_delta, reduction="none"
        ).tolist(),
        r"$p_i^{\text{new}}$": new.leaves[learned["index"]].tolist(),
        "L": learned["loss"].item(),
        r"$p_k^{\text{new}}$": new.leaves.tolist(),
        r"$P^{\text{new}}(k)$": (new.leaves / new.nodes[1]).tolist(),
        r"p_{\max}": memory.max_priority,
    }


def actor_critic() -> dict[str, float | list[float]]:
    """Four steps: one in the middle of an episode, one that terminates it, one more, and one at the time limit."""
    agent_module = load("ActorCritic").agent
    agent = agent_module.Agent(
        6, 2, hidden=6, learning_rate=1e-3, learning_steps=10**9, gamma=0.9, capacity=4, seed=0
    )  # fmt: skip
    states, action, probs = np.eye(6), [0, 1, 1, 0], [0.6, 0.75, 0.5, 0.5]
    make_table(agent.actor.features, agent.actor.logits, table_policy([*probs, 0.5, 0.5], [*action, 0, 0]))
    make_table(agent.critic.features, agent.critic.value, [[5, 6, 8, 10, 7, 10]])
    for t, following in enumerate([1, 4, 3, 5]):  # the places of S_{t+1}; place 4 is where the episode terminated
        agent.rollout.add(states[t], action[t], 1, states[following], t == 1)
    [learned] = locals_of(agent.learn, type(agent).learn)
    batch, value, log_prob = learned["batch"], learned["value"].detach(), learned["log_prob"].detach()
    with torch.no_grad():
        make_table(agent.critic.features, agent.critic.value, [[5, 6, 8, 10, 7, 10]])  # as before the update
        following = agent.critic(batch.next_obs)
    loss = learned["actor_loss"] + learned["critic_loss"]
    return {
        r"\gamma": agent.gamma,
        r"$R_{t+1}$": batch.reward.tolist(),
        r"$V(S_t)$": value.tolist(),
        r"$V(S_{t+1})$": following.tolist(),
        r"`terminated`": batch.terminated.tolist(),
        r"$y_t$": learned["td_target"].tolist(),
        r"$\delta_t$": learned["advantage"].tolist(),
        r"$\partial L / \partial V(S_t)$": agent.critic.value.weight.grad[0, :4].tolist(),
        r"$A_t$": batch.action.tolist(),
        r"$\pi(A_t \mid S_t)$": log_prob.exp().tolist(),
        r"$\partial L / \partial h(A_t)$": agent.actor.logits.weight.grad[batch.action, torch.arange(4)].tolist(),
        r"L_{\text{actor}}": learned["actor_loss"].item(),
        r"L_{\text{critic}}": learned["critic_loss"].item(),
        "L": loss.item(),
    }


class Rows(nn.Module):
    """In place of a network: for row i of a batch b_i + c_i times the last number of its input; b is to be learned."""

    def __init__(self, b: list[float], c: list[float] | None = None):
        super().__init__()
        self.b, self.c = nn.Parameter(torch.tensor(b)), torch.tensor(c or [0.0] * len(b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.b + self.c * x[:, -1]).unsqueeze(1)


def ddpg_with_her() -> dict[str, float | list[float]]:
    """Four samples from an episode of three steps: goals, rewards, normalisation, both bounds, and the actor."""
    agent_module = load("DDPGwithHER").agent
    hand, desired = np.float32([0.0, 0.2, 0.6, 0.4]), np.float32(1.0)
    agent = agent_module.Agent(
        2, np.float32([-1]), np.float32([1]), hidden=4, actor_learning_rate=1e-3, critic_learning_rate=1e-3,
        gamma=0.5, batch_size=4, capacity=3, tau=0.1, noise_sigma=0.0, action_l2=0.5, seed=0,
    )  # fmt: skip

    def judge(achieved: np.ndarray, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where((achieved == goal).all(axis=1), 0.0, -1.0), np.zeros(len(goal))

    agent.replay.use_hindsight(4, 1, judge)
    for t, action in enumerate([0.5, 1.0, -0.5]):
        agent.replay.add([hand[t], desired], [action], -1.0, [hand[t + 1], desired], 0.0)
    agent.replay.end_episode()
    time, later, chance = np.array([0, 0, 1, 1]), np.array([2, 2, 1, 2]), np.array([0.9, 0.1, 0.5, 0.7])
    draws = iter([time, later])
    agent.replay.rng = SimpleNamespace(integers=lambda *_, **__: next(draws), random=lambda size: chance)
    agent.critic.q = Rows([-1.75, -1.8, -1.3, -0.6], [1.0, 0.6, 0.8, -0.4])
    agent.target_critic.q = Rows([-1.5, -1.0, 0.2, -2.4])
    agent.actor.action, agent.target_actor.action = Rows([0.5, 0.6, 0.4, 0.2]), Rows([0.0] * 4)
    drawn = {}
    sampled, critic, actor = locals_of(
        lambda: drawn.update(agent.learn()),
        type(agent.replay).sample, type(agent).learn_critic, type(agent).learn_actor,
    )  # fmt: skip
    batch, y, q, mu = sampled["batch"], critic["td_target"], critic["q"].detach(), actor["action"].detach()
    normalizer, value = agent.actor.normalizer, agent.critic(batch.obs, mu).detach()
    return {
        r"\gamma": agent.gamma,
        r"\lambda": agent.action_l2,
        "k / (k + 1)": agent.replay.k / (agent.replay.k + 1),
        r"-1 / (1 - \gamma)": -1 / (1 - agent.gamma),
        **{f"x_{i}": float(place) for i, place in enumerate(hand)},
        "$t$": time.tolist(),
        "$p$": chance.tolist(),
        "$t'$": later.tolist(),
        "$g$": batch.obs[:, 1].tolist(),
        "$A_t$": batch.action.flatten().tolist(),
        "$x_t$": batch.obs[:, 0].tolist(),
        "$x_{t+1}$": batch.next_obs[:, 0].tolist(),
        "$R_{t+1}$": batch.reward.tolist(),
        r"$\tilde x_t$": normalizer(batch.obs)[:, 0].tolist(),
        r"$\tilde g$": normalizer(batch.obs)[:, 1].tolist(),
        r"m_x": normalizer.running_mean[0].item(),
        r"\sigma_x": normalizer.running_var[0].sqrt().item(),
        r"m_g": normalizer.running_mean[1].item(),
        r"\sigma_g": normalizer.running_var[1].sqrt().item(),
        "$Q'$": critic["next_value"].tolist(),
        r"$R_{t+1} + \gamma Q'$": (batch.reward + agent.gamma * critic["next_value"]).tolist(),
        "$y$": y.tolist(),
        "$Q(S_t, A_t)$": q.tolist(),
        "$(Q(S_t, A_t) - y)^2$": (q - y).square().tolist(),
        "L(w)": drawn["loss/critic"],
        r"$\mu(S_t)$": mu.flatten().tolist(),
        r"$\mu(S_t)^2$": mu.square().flatten().tolist(),
        r"$Q(S_t, \mu(S_t))$": value.tolist(),
        r"$\partial Q / \partial \mu$": agent.critic.q.c.tolist(),
        r"$\partial L(\theta) / \partial \mu$": agent.actor.action.b.grad.tolist(),
        r"\overline{Q}": value.mean().item(),
        r"\overline{\mu^2}": mu.square().mean().item(),
        r"L(\theta)": drawn["loss/actor"],
    }


def set_weights(network: nn.Sequential, first: list[float], last: float) -> None:
    """Give a network of one unit in each hidden layer the output last · (first · input), where that unit is active."""
    with torch.no_grad():
        for layer in network[:5:2]:
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        network[0].weight.copy_(torch.tensor([first]))
        network[4].weight.fill_(last)


def ddpg() -> dict[str, float | list[float]]:
    """One transition: the critic's target and loss, the actor's gradient through Q, and the soft update."""
    agent = load("DeepDeterministicPolicyGradient").agent.Agent(
        1, np.float32([-2]), np.float32([2]), hidden=1, actor_learning_rate=0.1, critic_learning_rate=0.0, gamma=0.9,
        batch_size=1, capacity=1, tau=0.1, noise="gaussian", noise_sigma=0.1, seed=0,
    )  # fmt: skip
    set_weights(agent.actor.action, [1.0], np.log(2))
    set_weights(agent.target_actor.action, [1.0], np.log(3) / 2)
    set_weights(agent.critic.q, [1.0, 1.0], 3.0)
    set_weights(agent.target_critic.q, [1.0, 1.0], 2.5)
    networks = agent.actor.action, agent.target_actor.action, agent.critic.q, agent.target_critic.q

    def weights() -> list[float]:
        return [network[4].weight.item() for network in networks]

    before, obs = weights(), torch.ones(1, 1)
    agent.replay.add([1], [1], 1, [2], False)
    action = agent.actor(obs)
    slope = torch.autograd.grad(agent.critic(obs, action), action)[0].item()
    drawn = {}
    learned, _ = locals_of(lambda: drawn.update(agent.learn()), type(agent).learn_critic, type(agent).learn_actor)
    after, gradient = weights(), agent.actor.action[4].weight.grad.item()
    y, q = learned["td_target"].item(), learned["q"].item()
    return {
        r"\gamma": agent.gamma,
        r"\tau": agent.tau,
        r"$\theta$": [before[0], after[0]],
        r"$\theta'$": [before[1], after[1]],
        "$w$": [before[2], after[2]],
        "$w'$": [before[3], after[3]],
        "a": ((learned["batch"].action - agent.center) / agent.half).item(),
        r"\mu(s'; \theta')": learned["next_action"].item(),
        r"Q(s', \mu(s'; \theta'); w')": learned["next_value"].item(),
        "y": y,
        "Q(s, a; w)": q,
        r"\delta": y - q,
        "L(w)": drawn["loss/critic"],
        r"\partial L(w) / \partial w": agent.critic.q[4].weight.grad.item(),
        r"\mu(s; \theta)": action.item(),
        r"L(\theta)": drawn["loss/actor"],
        r"\nabla_a Q": slope,
        r"\nabla_\theta \mu": -gradient / slope,
        r"\nabla_\theta L": gradient,
    }


class TwoWeights(nn.Module):
    """A policy for two actions with two weights: features [..., 2] times weights is the logit of action 1."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, obs: torch.Tensor) -> torch.distributions.Categorical:
        logit = obs @ self.weight
        return torch.distributions.Categorical(logits=torch.stack([torch.zeros_like(logit), logit], dim=-1))


def trpo() -> dict[str, float | list[float]]:
    """Four steps in two states, and a policy with two weights: the whole of the actor's update."""
    agent_module = load("TRPO").agent
    agent = agent_module.Agent(
        2, 2, hidden=4, log_std=0.0, learning_rate=1e-3, gamma=0.9, gae_lambda=0.9, delta=0.02, damping=0.0, cg_steps=2,
        line_search_steps=10, n_epochs=1, minibatch_size=4, n_steps=4, n_envs=1, seed=0,
    )  # fmt: skip
    agent.actor = TwoWeights()
    obs = torch.tensor([[2.0, 0], [2, 0], [2, 4], [2, 4]]).unsqueeze(1)
    action, advantage = torch.tensor([[0], [1], [1], [0]]), torch.tensor([[1.0], [-1], [1], [-1]])
    with torch.no_grad():
        old = agent.actor(obs)
    (local,) = locals_of(lambda: agent.update_actor(obs, action, advantage, old), type(agent).update_actor)
    product, g = local["fisher_product"], local["g"]
    fisher = torch.stack([product(v) for v in torch.eye(2)])
    solve = agent_module.conjugate_gradients
    solved = [locals_of(lambda n=n: solve(product, g, n), solve)[0] for n in (0, 1, 2)]
    plain_step = torch.sqrt(2 * agent.delta / (g @ product(g))) * g  # as long, but along g
    with torch.no_grad():
        new = agent.actor(obs).probs[:, 0, 1]
        agent.actor.weight.copy_(plain_step)
        plain_ratio = (agent.actor(obs).log_prob(action) - old.log_prob(action)).exp()
    return {
        r"\delta_{\text{KL}}": agent.delta,
        "$u_1(S_t)$": obs[:, 0, 0].tolist(),
        "$u_2(S_t)$": obs[:, 0, 1].tolist(),
        "$A_t$": action.flatten().tolist(),
        r"$\hat A_t$": advantage.flatten().tolist(),
        r"$\pi_{\text{old}}(1 \mid S_t)$": old.probs[:, 0, 1].tolist(),
        r"$\pi(1 \mid S_t)$": new.tolist(),
        "$r_t$": local["ratio"].flatten().tolist(),
        r"$(r_t - 1) \hat A_t$": ((local["ratio"] - 1) * advantage).flatten().tolist(),
        "g_1": g[0].item(),
        "g_2": g[1].item(),
        "F_{11}": fisher[0, 0].item(),
        "F_{12}": fisher[0, 1].item(),
        "F_{21}": fisher[1, 0].item(),
        "F_{22}": fisher[1, 1].item(),
        "$d_1$": [at["direction"][0].item() for at in solved],
        "$d_2$": [at["direction"][1].item() for at in solved],
        "$e_1$": [at["residual"][0].item() for at in solved],
        "$e_2$": [at["residual"][1].item() for at in solved],
        "$x_1$": [at["x"][0].item() for at in solved],
        "$x_2$": [at["x"][1].item() for at in solved],
        r"\ell_1": solved[1]["length"].item(),
        r"\ell_2": solved[2]["length"].item(),
        r"\text{length}": (local["step"] @ local["step"] / (local["x"] @ local["x"])).sqrt().item(),
        "s_1": local["step"][0].item(),
        "s_2": local["step"][1].item(),
        r"\text{fraction}": local["fraction"],
        r"\text{predicted gain}": (g @ local["step"]).item(),
        r"\text{gain}": local["gain"],
        r"\text{KL}": local["kl"],
        r"\text{gain along } g": ((plain_ratio - 1) * advantage).mean().item(),
    }


def table_updates(folder: str, settings: dict, table: list[list[float]], steps: list[tuple]) -> tuple:
    """An agent with this table after these calls of `learn`, and the local variables of each with the old entry."""
    agent = load(folder).agent.Agent(*np.shape(table), alpha_steps=10**12, epsilon=0.1, seed=0, **settings)
    agent.q.values[:] = table
    seen = []
    for step in steps:
        old, best = agent.q.values[step[0], step[1]], agent.q.values[step[3]].max()
        [after] = locals_of(lambda step=step: agent.learn(*step), type(agent).learn)
        follows = (1 - after["terminated"]) * after["next_value"]
        seen.append(after | {"old": old, "new": agent.q.values[step[0], step[1]], "follows": follows, "best": best})
    return agent, {name: [after[name] for after in seen] for name in seen[0] if name != "self"}


CELLS = [[-10, -20], [-3, -59], [-4, -2], [0, 0]]  # S, A, B and the goal: right, down


def q_learning() -> dict[str, float | list[float]]:
    """An ordinary step, a fall, the end, and the end of the time."""
    steps = [(1, 0, -1, 2, False), (1, 1, -100, 0, False), (2, 1, -1, 3, True), (2, 0, -1, 2, False)]
    agent, of = table_updates("QLearning", {"alpha": 0.5, "gamma": 0.9}, CELLS, steps)
    return {
        r"\gamma": agent.gamma,
        r"\alpha": agent.alpha_start,
        r"$Q(\text{S}, a)$": CELLS[0],
        r"$Q(\text{A}, a)$": CELLS[1],
        r"$Q(\text{B}, a)$": CELLS[2],
        r"$R_{t+1}$": of["reward"],
        r"$\max_a Q(S_{t+1}, a)$": of["follows"],
        r"$y$": of["td_target"],
        r"$Q(S_t, A_t)$": of["old"],
        r"$\delta_t$": of["td_error"],
        r"$Q(S_t, A_t) + \alpha \delta_t$": of["new"],
    }


def a2c() -> dict[str, float | list[float]]:
    """Three steps in each of two environments; in the second one an episode terminates in the middle."""
    agent_module = load("A2C").agent
    agent = agent_module.Agent(
        9, 2, hidden=9, learning_rate=1e-3, learning_steps=10**9, gamma=0.5, gae_lambda=1.0, entropy_coef=0.01,
        max_grad_norm=0.5, n_steps=3, n_envs=2, seed=0,
    )  # fmt: skip
    states = np.eye(9)  # 3 and 7 are seen after the rollout, 8 where the episode terminated
    value = [3, 2, 1, 4, 3, 4, 3, 4, 5]
    make_table(agent.actor.features, agent.actor.logits, table_policy([0.5] * 9, [0] * 9))
    make_table(agent.critic.features, agent.critic.value, [value])
    for network, last in ((agent.actor, agent.actor.logits), (agent.critic, agent.critic.value)):
        network.features.requires_grad_(False)  # what a table has: one weight for each state
        last.bias = None
    ended, following = [[0, 0], [0, 1], [0, 0]], [[1, 5], [2, 8], [3, 7]]  # [steps, envs]
    for t, reward in enumerate([[2, 2], [2, 0], [2, 2]]):
        agent.rollout.add(states[[t, 4 + t]], [0, 1], reward, states[following[t]], ended[t], ended[t])
    seen, clip = {}, torch.nn.utils.clip_grad_norm_

    def watched(parameters, most):
        seen["value"] = agent.critic.value.weight.grad[0].clone()
        seen["logits"] = agent.actor.logits.weight.grad[[0, 0, 0, 1, 1, 1], [0, 1, 2, 4, 5, 6]].clone()
        seen["norm"] = clip(parameters, most)

    torch.nn.utils.clip_grad_norm_ = watched
    try:
        [learned] = locals_of(agent.learn, type(agent).learn)
    finally:
        torch.nn.utils.clip_grad_norm_ = clip

    def column(values: torch.Tensor) -> list[float]:
        return values.detach().T.flatten().tolist()  # the first environment, then the second

    played = [0, 1, 2, 4, 5, 6]
    batch, td_error, value = learned["batch"], learned["td_error"], learned["value"]
    loss = learned["actor_loss"] + learned["critic_loss"] - agent.entropy_coef * learned["entropy"]
    return {
        r"\gamma": agent.gamma,
        r"\lambda": agent.gae_lambda,
        r"\beta": agent.entropy_coef,
        r"$R_{t+1}$": column(batch.reward),
        r"$V(S_t)$": column(value),
        r"$V(S_{t+1})$": column((td_error - batch.reward + value) / agent.gamma),
        r"`terminated`": column(batch.terminated),
        r"$\delta_t$": column(td_error),
        r"$\hat A_t$": column(learned["advantage"]),
        r"$G_t$": column(learned["returns"]),
        r"$\partial L / \partial V(S_t)$": seen["value"][played].tolist(),
        r"$\partial L / \partial h(A_t)$": seen["logits"].tolist(),
        r"\lVert \nabla L \rVert": seen["norm"].item(),
        r"$0.25 \cdot \partial L / \partial V(S_t)$": agent.critic.value.weight.grad[0, played].tolist(),
        "c": agent.max_grad_norm,
        r"L_{\text{actor}}": learned["actor_loss"].item(),
        r"L_{\text{critic}}": learned["critic_loss"].item(),
        r"\overline{H}": learned["entropy"].item(),
        "L": loss.item(),
    }


def sarsa() -> dict[str, float | list[float]]:
    """The steps of `q_learning`; in the first the next action is not the best one."""
    steps = [(1, 0, -1, 2, 0, False), (1, 1, -100, 0, 0, False), (2, 1, -1, 3, 0, True), (2, 0, -1, 2, 1, False)]
    agent, of = table_updates("Sarsa", {"alpha": 0.5, "gamma": 0.9}, CELLS, steps)
    return {
        r"\gamma": agent.gamma,
        r"\alpha": agent.alpha_start,
        r"$Q(\text{S}, a)$": CELLS[0],
        r"$Q(\text{A}, a)$": CELLS[1],
        r"$Q(\text{B}, a)$": CELLS[2],
        r"$R_{t+1}$": of["reward"],
        r"$Q(S_{t+1}, A_{t+1})$": of["follows"],
        r"$y$": of["td_target"],
        r"$Q(S_t, A_t)$": of["old"],
        r"$\delta_t$": of["td_error"],
        r"$Q(S_t, A_t) + \alpha \delta_t$": of["new"],
        r"$R_{t+1} + \gamma \max_a Q(S_{t+1}, a)$": (
            np.array(of["reward"]) + agent.gamma * np.array(of["best"])
        ).tolist(),
    }


def sarsa_lambda() -> dict[str, float | list[float]]:
    """Three steps, of which the last two leave the same state, with the three kinds of traces."""
    steps = [(0, 0, 0, 1, 0, False), (1, 0, 0, 1, 0, False), (1, 0, 10, 2, 0, True)]
    result = {}
    for trace in ("accumulating", "replacing", "dutch"):
        settings = {"alpha": 0.5, "gamma": 0.8, "lambda_": 0.5, "trace": trace}
        traces = np.zeros((3, 2))
        for t in range(3):
            agent, of = table_updates("SarsaLambda", settings, [[0.0]] * 3, steps[: t + 1])
            traces[t] = agent.traces[:2, 0]
        result |= {
            rf"$z(\text{{B}})$, `{trace}`": traces[:, 1].tolist(),
            rf"`{trace}`": agent.q.values[:2, 0].tolist(),
        }
        assert of["td_error"] == [0, 0, 10]
    agent, _ = table_updates("Sarsa", {"alpha": 0.5, "gamma": 0.8}, [[0.0]] * 3, steps)
    return result | {
        r"$z(\text{A})$": traces[:, 0].tolist(),
        r"$\delta_t$": of["td_error"],
        r"$R_{t+1}$": of["reward"],
        "Sarsa": agent.q.values[:2, 0].tolist(),
        r"\gamma": settings["gamma"],
        r"\lambda": settings["lambda_"],
        r"\gamma\lambda": settings["gamma"] * settings["lambda_"],
        r"\alpha": settings["alpha"],
    }


def td3() -> dict[str, float | list[float]]:
    """Two transitions: smoothed target actions, the smaller of two values, and the loss of both critics."""
    agent = load("TD3").agent.Agent(
        1, np.float32([-1]), np.float32([1]), hidden=1, actor_learning_rate=0.1, critic_learning_rate=0.0, gamma=0.5,
        batch_size=2, capacity=2, tau=0.1, noise="gaussian", noise_sigma=0.1, policy_delay=2, target_sigma=0.2,
        target_clip=0.5, seed=0,
    )  # fmt: skip
    set_weights(agent.actor.action, [1.0], 0.0)
    set_weights(agent.target_actor.action, [np.log(1.5)], 1.0)
    with torch.no_grad():
        agent.target_actor.action[0].bias.fill_(np.log(4 / 3))  # tanh of it: 0.6 at 1 and 0.8 at 2
    for critic, sizes in ((agent.critic, (2.0, 2.0)), (agent.target_critic, (2.0, 5.0))):
        for network, sign, size in zip(critic.q, (1.0, -1.0), sizes, strict=True):
            set_weights(network, [1.0, sign], size)
    agent.replay.add([1], [0.5], 1, [2], False)
    agent.replay.add([1], [-0.5], -1, [1], False)
    agent.replay.sample = lambda _: agent.replay.batch(np.arange(2))
    noise = torch.tensor([[3.0], [-1.0]])
    agent.gaussian = lambda _: noise
    drawn = {}
    [learned] = locals_of(lambda: drawn.update(agent.learn()), type(agent).learn_critic)
    assert "loss/actor" not in drawn
    batch, q, y = learned["batch"], learned["q"].detach(), learned["td_target"]
    middle, smoothed = agent.target_actor(batch.next_obs), learned["next_action"]
    clipped = learned["noise"].clamp(-agent.target_clip, agent.target_clip)
    values = agent.target_critic(batch.next_obs, smoothed)
    ddpg = batch.reward + agent.gamma * agent.target_critic(batch.next_obs, middle)[0]
    losses = (q - y).square().mean(dim=1)
    return {
        r"\gamma": agent.gamma,
        r"\tilde\sigma": agent.target_sigma,
        "c": agent.target_clip,
        "$s$": batch.obs.flatten().tolist(),
        "$a$": batch.action.flatten().tolist(),
        "$r$": batch.reward.tolist(),
        "$s'$": batch.next_obs.flatten().tolist(),
        r"$\mu(s'; \theta')$": middle.flatten().tolist(),
        r"$\varepsilon$": noise.flatten().tolist(),
        r"$\tilde\sigma \varepsilon$": (agent.target_sigma * noise).flatten().tolist(),
        r"$\mathrm{clip}(\tilde\sigma \varepsilon, -c, c)$": clipped.flatten().tolist(),
        r"$\mu(s'; \theta') + \mathrm{clip}(\tilde\sigma \varepsilon, -c, c)$": (middle + clipped).flatten().tolist(),
        r"$\tilde a$": smoothed.flatten().tolist(),
        r"$Q(s', \tilde a; w'_1)$": values[0].tolist(),
        r"$Q(s', \tilde a; w'_2)$": values[1].tolist(),
        r"$\min$": learned["next_value"].tolist(),
        "$y$": y.tolist(),
        "$y$ (DDPG)": ddpg.tolist(),
        "$Q(s, a; w_1)$": q[0].tolist(),
        "$Q(s, a; w_2)$": q[1].tolist(),
        "$y - Q(s, a; w_1)$": (y - q[0]).tolist(),
        "$y - Q(s, a; w_2)$": (y - q[1]).tolist(),
        "$(y - Q(s, a; w_1))^2$": (y - q[0]).square().tolist(),
        "$(y - Q(s, a; w_2))^2$": (y - q[1]).square().tolist(),
        "L(w_1)": losses[0].item(),
        "L(w_2)": losses[1].item(),
        r"\text{loss}": drawn["loss/critic"],
    }


class Fixed(nn.Module):
    """In place of a network: it returns its weights, one row for each row of a batch."""

    def __init__(self, rows: list):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows


def diayn() -> dict[str, float | list[float]]:
    """Four transitions of two skills: the discriminator's reward, its gradient, the soft targets; and the score."""
    agent_module = load("DIAYN").agent
    agent = agent_module.Agent(
        6, np.float32([-1]), np.float32([1]), hidden=4, actor_learning_rate=1e-3, critic_learning_rate=1e-3,
        gamma=0.5, batch_size=4, capacity=4, tau=0.1, alpha=0.1, n_skills=2, seed=0,
    )  # fmt: skip
    state, skill, q0 = torch.eye(4), torch.tensor([0, 0, 1, 1]), torch.tensor([0.8, 0.5, 0.1, 0.75])
    with torch.no_grad():
        for place, weight in ((0, state), (2, state), (4, torch.stack([q0, 1 - q0]).log())):
            agent.discriminator[place].weight.copy_(weight)
            agent.discriminator[place].bias.zero_()
    obs = torch.cat([state, torch.eye(2)[skill]], dim=1).numpy()
    for row in obs:
        agent.replay.add(row, [0.0], 0.0, row, 0.0)
    agent.replay.rng = SimpleNamespace(integers=lambda *_, **__: np.arange(4))
    log_pi = [0.5, 1.0, -0.5, 0.0]
    log_std = [-value - 0.5 * math.log(2 * math.pi) for value in log_pi]  # of a normal distribution at its middle
    agent.actor.gaussian = Fixed([[0.0, value] for value in log_std])
    agent.gaussian = torch.zeros
    for network, rows in zip(agent.target_critic.q, ([2.0, 1.0, 3.0, 0.0], [1.8, 1.4, 2.5, 0.4]), strict=True):
        network[-1] = Rows(rows)
    agent.critic = copy.deepcopy(agent.target_critic).requires_grad_()
    target_q = [network[-1].b.tolist() for network in agent.target_critic.q]
    seen = agent.skill_seen(obs[:3])
    log_q = agent.discriminator(state).detach()  # [states, skills]
    drawn = {}
    judged, critic = locals_of(
        lambda: drawn.update(agent.learn()), type(agent).learn_discriminator, type(agent).learn_critic
    )  # fmt: skip
    gradient = agent.discriminator[4].weight.grad[skill, torch.arange(4)]
    reward = critic["batch"].reward
    return {
        r"\gamma": agent.gamma,
        r"\alpha": agent.alpha,
        r"\log 2": math.log(agent.n_skills),
        "$z$": skill.tolist(),
        r"$q(0 \mid s')$": log_q[:, 0].exp().tolist(),
        r"$q(z \mid s')$": judged["log_q"].detach().exp().tolist(),
        r"$\log q(z \mid s')$": judged["log_q"].tolist(),
        "$r$": reward.tolist(),
        r"$\partial L(\phi) / \partial h(z)$": gradient.tolist(),
        r"L(\phi)": -judged["log_q"].mean().item(),
        r"\overline{r}": drawn["policy/mutual_information"],
        "$Q'_1$": target_q[0],
        "$Q'_2$": target_q[1],
        r"$\min(Q'_1, Q'_2)$": torch.tensor(target_q).amin(dim=0).tolist(),
        r"$\log \pi(a' \mid s', z)$": critic["next_log_prob"].tolist(),
        "$V'$": critic["next_value"].tolist(),
        "$y$": critic["td_target"].tolist(),
        r"$\log q(0 \mid s)$": [*log_q[:3, 0].tolist(), log_q[:3, 0].sum().item()],
        r"$\log q(1 \mid s)$": [*log_q[:3, 1].tolist(), log_q[:3, 1].sum().item()],
        r"\hat z": seen,
    }


class ByObservation(nn.Module):
    """In place of a network: a row of values for each observation [obs_dim] that it knows."""

    def __init__(self, rows: dict[tuple[float, ...], list[float]]):
        super().__init__()
        self.places, self.values = list(rows), nn.Parameter(torch.tensor(list(rows.values())))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.values[[self.places.index(tuple(row)) for row in obs.tolist()]]


def dqn_with_her() -> dict[str, float | list[float]]:
    """Four samples from an episode of three flips of three bits: one with its own goal, three with others."""
    rooms, flips = load("DQNwithHER"), [0, 1, 1]
    bits = np.float32([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [1, -1, -1]])  # s_0 to s_3
    agent = rooms.agent.Agent(
        6, 3, hidden=4, learning_rate=0.1, learning_steps=10**9, gamma=0.9, batch_size=4, capacity=3, tau=0.2,
        huber_delta=1.0, epsilon_start=1.0, epsilon_end=1.0, epsilon_steps=1, double_q=True, seed=0,
    )  # fmt: skip
    start, one, two, goal = (tuple(row) for row in [*bits[:3].tolist(), [1.0] * 3])
    online = {
        start + goal: [-2.0, -3.0, -3.0], start + one: [-0.5, -3.0, -3.0], start + two: [-1.5, -2.0, -3.0],
        one + goal: [-3.0, -2.0, -1.5], one + one: [-4.0, -3.0, -4.0], one + two: [-2.0, -0.5, -2.0],
        two + one: [-3.0, -0.5, -3.0],
    }  # fmt: skip
    target = online | {one + goal: [-3.0, -1.0, -2.0], one + one: [-4.0, -2.5, -3.0], one + two: [-2.0, -1.0, -2.0]}
    agent.q_net = ByObservation(online)
    agent.target_net = ByObservation(target | {two + one: [-3.0, -0.2, -3.0]}).requires_grad_(False)
    task, memory = rooms.env.BitFlipping, agent.replay
    memory.use_hindsight(4, 3, lambda *goals: (task.compute_reward(*goals, {}), task.compute_terminated(*goals, {})))
    for t, action in enumerate(flips):
        memory.add([*bits[t], *goal], action, -1.0, [*bits[t + 1], *goal], False)
    memory.end_episode()
    time, later, chance = np.array([0, 0, 0, 1]), np.array([1, 0, 1, 2]), np.array([0.9, 0.3, 0.5, 0.7])
    draws = iter([time, later])
    memory.rng = SimpleNamespace(integers=lambda *_, **__: next(draws), random=lambda size: chance)
    drawn = {}
    (learned,) = locals_of(lambda: drawn.update(agent.learn()), type(agent).learn)
    batch, y, q = learned["batch"], learned["td_target"], learned["q"].detach()
    for row, wanted in zip(batch.obs[:, 3:].tolist(), (goal, one, two, one), strict=True):
        assert tuple(row) == wanted  # the goals on the page
    place = [agent.q_net.places.index(tuple(row)) for row in batch.obs.tolist()]
    return {
        r"\gamma": agent.gamma,
        r"\kappa": agent.huber_delta,
        "k / (k + 1)": memory.k / (memory.k + 1),
        "$t$": time.tolist(),
        "$p$": chance.tolist(),
        "$t'$": later.tolist(),
        "$A_t$": batch.action.tolist(),
        "$R_{t+1}$": batch.reward.tolist(),
        "`terminated`": batch.terminated.tolist(),
        r"$a^\ast$": learned["choosing_q"].argmax(dim=1).tolist(),
        r"$Q(S_{t+1} \Vert g, a^\ast; w^-)$": learned["next_value"].tolist(),
        "$y_t$": y.tolist(),
        r"$Q(S_t \Vert g, A_t; w)$": q.tolist(),
        r"$\delta_t$": (y - q).tolist(),
        r"$\mathrm{Huber}_\kappa(\delta_t)$": F.huber_loss(q, y, delta=agent.huber_delta, reduction="none").tolist(),
        r"$\partial L / \partial Q(S_t \Vert g, A_t; w)$": agent.q_net.values.grad[place, batch.action].tolist(),
        "L": drawn["loss/q"],
        r"y_{\text{wrong}}": (-1 + agent.gamma * learned["next_value"][1]).item(),
    }


def acer() -> dict[str, float | list[float]]:
    """Three steps of an old policy: Retrace for the critic; truncation and trust region for the actor."""
    agent_module, batch_type, states = load("ACER").agent, load("ACER").replay.Batch, torch.eye(3).unsqueeze(1)
    agent = agent_module.Agent(
        3, 2, hidden=3, learning_rate=1e-3, learning_steps=10**9, gamma=0.5, retrace=True, truncation=2.0, delta=0.1,
        alpha=0.99, entropy_coef=0.0, max_grad_norm=1e9, n_steps=3, n_envs=1, replay_ratio=1, capacity=1, seed=0,
    )  # fmt: skip
    reward, action = torch.tensor([[1.0], [1], [3]]), torch.tensor([[1], [0], [1]])
    terminated = torch.tensor([[0.0], [0], [1]])
    pi, average, mu = [0.8, 0.6, 0.8], [0.7, 0.7, 0.8], [0.2, 0.2, 0.4]  # probabilities of action 1
    make_table(agent.critic.features, agent.critic.q, [[-3, 1, 0], [2, 6, 5]])
    for actor, probs in ((agent.actor, pi), (agent.average_actor, average)):
        make_table(actor.features, actor.logits, np.log([[1 - p for p in probs], probs]).tolist())
    log_mu = torch.tensor([[1 - p, p] for p in mu]).log().unsqueeze(1)
    next_obs = torch.cat([states[1:], states[2:]])
    batch = batch_type(states, action, reward, next_obs, terminated, terminated, log_mu)
    drawn = {}
    updated, summed, gradient = locals_of(
        lambda: drawn.update(agent.update(batch)),
        type(agent).update,
        agent_module.retrace,
        agent_module.policy_gradient,
    )
    rho, q, value = updated["rho"], gradient["q"], gradient["value"].squeeze(-1)
    correction = updated["probs"] * (1 - agent.truncation / rho).clamp(min=0) * (q - gradient["value"])
    k = updated["probs"] - updated["average_probs"]

    def column(values: torch.Tensor) -> list[float]:
        return values.detach().flatten().tolist()

    return {
        r"\gamma": agent.gamma,
        "c": agent.truncation,
        r"\delta_{\text{KL}}": agent.delta,
        "$R_{t+1}$": column(reward),
        "$A_t$": column(action),
        r"$\mu(A_t \mid S_t)$": column(log_mu.exp().gather(-1, action.unsqueeze(-1))),
        r"$\pi(A_t \mid S_t)$": column(updated["probs"].gather(-1, action.unsqueeze(-1))),
        r"$\rho_t$": column(updated["rho_taken"]),
        r"$Q(S_t, 0)$": column(q[..., 0]),
        r"$Q(S_t, 1)$": column(q[..., 1]),
        "$V(S_t)$": column(value),
        r"$\delta_t$": column(updated["td_error"]),
        r"$\min(1, \rho_t)$": column(updated["trace"]),
        r"$Q^{\text{ret}}_t - Q(S_t, A_t)$": column(summed["correction"]),
        r"$Q^{\text{ret}}_t$": column(updated["q_retrace"]),
        r"$\min(c, \rho_t) (Q^{\text{ret}}_t - V(S_t))$": column(
            updated["rho_taken"].clamp(max=agent.truncation) * (updated["q_retrace"] - value)
        ),
        "$b_t(0)$": column(correction[..., 0]),
        "$b_t(1)$": column(correction[..., 1]),
        r"$\hat g_t(1)$": column(updated["g"][..., 1]),
        r"$\bar \pi(1 \mid S_t)$": column(updated["average_probs"][..., 1]),
        r"$\pi(1 \mid S_t)$": column(updated["probs"][..., 1]),
        "$k_t(1)$": column(k[..., 1]),
        r"$k_t^\top \hat g_t$": column((k * updated["g"]).sum(dim=-1)),
        "u_0": (((k * updated["g"]).sum(dim=-1) - agent.delta) / (k * k).sum(dim=-1))[0, 0].item(),
        "$z_t(1)$": column(updated["z"][..., 1]),
        r"L_{\text{critic}}": drawn["loss/critic"],
    }


def two_workers(copied_anew: bool) -> tuple[nn.Module, list[dict], list[dict[str, float]]]:
    """A3C: both workers copy the weights, then one learns, then the other; or the other copies them anew before.

    Returns the shared agent, the local variables of each `learn`, and the shared weights at the start and after each.
    """
    states, reward, action = np.eye(3, dtype=np.float32), [[5, 0], [1, 2]], [[1, 0], [0, 1]]
    agent = load("A3C").agent.Agent(
        3, 2, hidden=3, learning_rate=0.1, learning_steps=10**9, gamma=0.5, gae_lambda=1.0, entropy_coef=0.0,
        max_grad_norm=1e9, n_steps=2, n_workers=2, seed=0,
    )  # fmt: skip
    agent.actor = nn.Linear(3, 2, bias=False)  # a table of logits
    agent.critic = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Flatten(-2))  # a table of values
    agent.parameters = [*agent.actor.parameters(), *agent.critic.parameters()]
    agent.optimizer = torch.optim.SGD(agent.parameters, lr=0.1)
    with torch.no_grad():
        agent.actor.weight.zero_()
        agent.critic[0].weight.copy_(torch.tensor([[4.0, 2, 8]]))
    agent.share()

    def weights() -> dict[str, float]:
        value, probs = agent.critic[0].weight.detach()[0], agent.actor.weight.detach().softmax(dim=0)[1]
        return {"$V(0)$": value[0].item(), "$V(1)$": value[1].item(), r"$\pi(1 \mid 0)$": probs[0].item(),
                r"$\pi(1 \mid 1)$": probs[1].item(), "$T$": agent.steps.sum().item()}  # fmt: skip

    workers = [agent.worker(rank, seed=0) for rank in (0, 1)]
    learned, at = [], [weights()]
    for rank in (0, 1):
        worker = agent.worker(rank, seed=0) if copied_anew and rank == 1 else workers[rank]
        for t in (0, 1):
            worker.rollout.add(states[[t]], action[rank][t], reward[rank][t], states[[t + 1]], 0.0, 0.0)
        (local,) = locals_of(lambda worker=worker: worker.learn(agent), type(agent).learn)
        gradient = worker.critic[0].weight.grad[0, :2].tolist()
        learned.append(local | {"of V": gradient, "of logits": worker.actor.weight.grad[1, :2].tolist()})
        at.append(weights())
    return agent, learned, at


def a3c() -> dict[str, float | list[float]]:
    """Two workers copy the same weights; the gradient of the second is applied to weights that the first has moved."""
    agent, learned, at = two_workers(copied_anew=False)
    _, learned_anew, at_anew = two_workers(copied_anew=True)

    def row(name: str) -> list[float]:
        return [number for local in learned for number in local[name].detach().flatten().tolist()]

    return {
        r"\gamma": agent.gamma,
        r"\lambda": agent.gae_lambda,
        r"\alpha": agent.learning_rate,
        "$A_t$": [number for local in learned for number in local["batch"].action.flatten().tolist()],
        "$R_{t+1}$": [number for local in learned for number in local["batch"].reward.flatten().tolist()],
        "$V(S_t)$": row("value"),
        r"$\delta_t$": row("td_error"),
        r"$\hat A_t$": row("advantage"),
        "$G_t$": row("returns"),
        r"$\partial L / \partial V(S_t)$": learned[0]["of V"] + learned[1]["of V"],
        r"$\partial L / \partial h(1)$": learned[0]["of logits"] + learned[1]["of logits"],
        **{name: [*(weights[name] for weights in at), at_anew[2][name]] for name in at[0]},
        r"\hat A_0": learned_anew[1]["advantage"][0, 0].item(),
        r"\hat A_1": learned_anew[1]["advantage"][1, 0].item(),
    }


class TwoWorkers:
    """In place of torch.distributed: two threads, and the sum of what both give."""

    def __init__(self):
        self.both, self.given, self.local = threading.Barrier(2), {}, threading.local()

    def is_initialized(self) -> bool:
        return True

    def get_rank(self) -> int:
        return self.local.rank

    def get_world_size(self) -> int:
        return 2

    def all_reduce(self, message: torch.Tensor) -> None:
        self.given[self.get_rank()] = message.clone()
        self.both.wait(60)
        message.copy_(self.given[0] + self.given[1])
        self.both.wait(60)


def dppo() -> dict[str, float | list[float]]:
    """Two workers with two steps each: the mean of their gradients; and one process with all four steps."""
    reward, action, states = [[2.5, 5], [0.5, 1]], [[1, 0], [0, 0]], np.eye(2, dtype=np.float32)

    def learn(agent_module, envs: list[int]) -> dict:
        agent = agent_module.Agent(
            2, 2, hidden=2, log_std=0.0, learning_rate=0.1, learning_steps=10**9, gamma=0.5, gae_lambda=1.0, clip=0.2,
            entropy_coef=0.0, max_grad_norm=1e9, n_epochs=1, minibatch_size=2 * len(envs), n_steps=2,
            n_envs=len(envs), seed=0,
        )  # fmt: skip
        make_table(agent.actor.features, agent.actor.logits, [[0, 0], [0, 0]])
        make_table(agent.critic.features, agent.critic.value, [[2, 2]])
        for network, last in ((agent.actor, agent.actor.logits), (agent.critic, agent.critic.value)):
            network.features.requires_grad_(False)  # what a table has: one weight for each state
            last.bias = None
        agent.parameters = [agent.actor.logits.weight, agent.critic.value.weight]
        agent.optimizer = torch.optim.SGD(agent.parameters, lr=0.1)
        for t in (0, 1):
            step = [[row[env][t] for env in envs] for row in (action, reward)]
            ended = [float(t == 1)] * len(envs)
            agent.rollout.add(states[[t] * len(envs)], *step, states[[1] * len(envs)], ended, ended)
        average, before = agent_module.average, []

        def watched(tensors: list[torch.Tensor]) -> None:
            before.append([tensor.clone() for tensor in tensors])
            average(tensors)

        type(agent).learn.__globals__["average"] = watched
        (learned,) = locals_of(agent.learn, type(agent).learn)
        type(agent).learn.__globals__["average"] = average
        gradients = before[1], [parameter.grad for parameter in agent.parameters]
        alone, mean = ([*critic[0].tolist(), *actor[1].tolist()] for actor, critic in gradients)
        return learned | {"agent": agent, "before": before, "alone": alone, "mean": mean}

    modules, found = [load("DPPO").agent for _ in range(2)], {}
    together = TwoWorkers()
    started = threading.Barrier(2)

    def work(rank: int) -> None:
        together.local.rank = rank
        modules[rank].dist = together
        started.wait(60)
        found[rank] = learn(modules[rank], [rank])

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_four = learn(load("DPPO").agent, [0, 1])
    workers, agent = [found[0], found[1]], found[0]["agent"]

    def row(values: Callable[[dict], torch.Tensor]) -> list[float]:
        return [number for learned in workers for number in values(learned).detach().flatten().tolist()]

    def own(moment: int) -> list[float]:
        return [learned["before"][0][moment].item() for learned in workers]

    raw = row(lambda learned: learned["returns"] - learned["value"])
    names = r"\partial L / \partial V(0)", r"\partial L / \partial V(1)"
    names += r"\partial L / \partial h(1 \mid 0)", r"\partial L / \partial h(1 \mid 1)"
    gradients = zip(names, workers[0]["alone"], workers[1]["alone"], workers[0]["mean"], all_four["mean"], strict=True)
    assert workers[0]["mean"] == workers[1]["mean"]
    mean, mean_square = (moment.item() for moment in workers[0]["moments"])
    return {
        r"\gamma": agent.gamma,
        r"\lambda": agent.gae_lambda,
        r"\alpha": agent.learning_rate,
        "$A_t$": row(lambda learned: learned["batch"].action),
        "$R_{t+1}$": row(lambda learned: learned["batch"].reward),
        "$V(S_t)$": row(lambda learned: learned["value"]),
        r"$\delta_t$": row(lambda learned: learned["td_error"]),
        r"$\hat A_t$": raw,
        r"$\tilde A_t$": row(lambda learned: learned["advantage"]),
        r"$\overline{\hat A_t}$": [*own(0), mean],
        r"$\overline{\hat A_t^2}$": [*own(1), mean_square],
        r"\text{std}": (mean_square - mean**2) ** 0.5,
        **{f"${name}$": numbers for name, *numbers in gradients},
        "V(0)": agent.critic.value.weight[0, 0].item(),
        "V(1)": agent.critic.value.weight[0, 1].item(),
        r"\pi(1 \mid 0)": agent.actor.logits.weight.softmax(dim=0)[1, 0].item(),
        r"\pi(1 \mid 1)": agent.actor.logits.weight.softmax(dim=0)[1, 1].item(),
    }


def sac() -> dict[str, float | list[float]]:
    """One transition, under a wide and under a narrow policy: log-probability, soft target, actor, temperature."""
    rooms, rows = load("SAC"), {}
    for mean, std, noise in ((0.0, np.log(2), 1.0), (np.log(2), 0.05, 0.0)):
        agent = rooms.agent.Agent(
            1, np.float32([-1]), np.float32([1]), hidden=1, actor_learning_rate=0.1, critic_learning_rate=0.0,
            gamma=0.5, batch_size=1, capacity=1, tau=0.1, seed=0,
        )  # fmt: skip
        with torch.no_grad():  # the same Gaussian in every state
            agent.actor.gaussian[4].weight.zero_()
            agent.actor.gaussian[4].bias.copy_(torch.tensor([mean, np.log(std)]))
            agent.temperature.log_alpha.fill_(np.log(0.5))
        for critic in (agent.critic, agent.target_critic):
            set_weights(critic.q[0], [1.0, 1.0], 2.0)
            set_weights(critic.q[1], [1.0, -1.0], 10.0)
        target = agent.target_critic(torch.full((1, 1), 2.0), torch.full((1, 1), 0.6))
        agent.replay.add([1], [0.5], 1, [2], False)
        agent.gaussian = lambda shape, noise=noise: torch.full(shape, noise)
        drawn, alpha = {}, agent.temperature().item()
        learned, acted, density = locals_of(
            lambda agent=agent, drawn=drawn: drawn.update(agent.learn()),
            type(agent).learn_critic,
            type(agent).learn_actor,
            rooms.model.log_prob,
        )
        log_prob, entropy = learned["next_log_prob"].item(), drawn["policy/entropy"]
        row = {
            "$m$": mean,
            r"$\sigma$": std,
            r"$\varepsilon$": density["noise"].item(),
            "$u$": density["u"].item(),
            r"$a' = \tanh u$": learned["next_action"].item(),
            r"$\log \mathcal{N}(u)$": density["gaussian"].item(),
            r"$\log (1 - \tanh^2 u)$": density["log_slope"].item(),
            r"$\log \pi(a' \mid s')$": log_prob,
            r"$-\alpha \log \pi(a' \mid s')$": -alpha * log_prob,
            r"$\min_i Q(s', a'; w'_i)$": target.min().item(),
            r"$\min_i Q(s', a'; w'_i) - \alpha \log \pi(a' \mid s')$": learned["next_value"].item(),
            "$y$": learned["td_target"].item(),
            r"$\min_i Q(s, a; w_i)$": acted["value"].item(),
            r"$L(\theta)$": drawn["loss/actor"],
            r"$\partial L(\theta) / \partial m$": agent.actor.gaussian[4].bias.grad[0].item(),
            r"$\mathcal{H}$": entropy,
            r"$\mathcal{H} - \bar{\mathcal{H}}$": entropy - agent.target_entropy,
            r"$L(\alpha)$": alpha * (entropy - agent.target_entropy),
            r"$\partial L(\alpha) / \partial \log \alpha$": agent.temperature.log_alpha.grad.item(),
            r"$\log \alpha$": agent.temperature.log_alpha.item(),
            r"$\alpha$": drawn["policy/alpha"],
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    u = torch.tensor([[np.log(2)]], dtype=torch.float32, requires_grad=True)
    slope = torch.autograd.grad(agent.critic(torch.ones(1, 1), u.tanh()).amin(dim=0), u)[0].item()
    settings = {r"\gamma": agent.gamma, r"\alpha": alpha, r"\bar{\mathcal{H}}": agent.target_entropy}
    rate = agent.temperature_optimizer.param_groups[0]["lr"]
    return rows | settings | {r"\eta": rate, r"\partial Q / \partial u": slope}


EXAMPLES = {
    "SarsaLambda": sarsa_lambda,
    "Sarsa": sarsa,
    "DQNwithHER": dqn_with_her,
    "QLearning": q_learning,
    "PPO": ppo,
    "PolicyGradient(PG)": policy_gradient,
    "ActorCritic": actor_critic,
    "DDPGwithHER": ddpg_with_her,
    "DeepQLearningNetwork(DQN)": dqn,
    "DeepDeterministicPolicyGradient": ddpg,
    "TRPO": trpo,
    "DuelingDQN": dueling,
    "A2C": a2c,
    "TD3": td3,
    "DIAYN": diayn,
    "DQNwithPER": per,
    "ACER": acer,
    "A3C": a3c,
    "DPPO": dppo,
    "SAC": sac,
}
