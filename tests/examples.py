"""The worked examples of the pages ("One update in numbers"), computed by each folder's own code.

EXAMPLES has a function for each folder. It returns {name: number, or a list of numbers}. A name is the first cell of a
table's row, which holds the numbers; or it is part of a formula in the text, and the number follows it after " = ".
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
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
        4, 2, hidden=4, learning_rate=1e-3, learning_steps=10**9, gamma=gamma, gae_lambda=gae_lambda, clip=clip,
        entropy_coef=0.0, max_grad_norm=1e9, n_epochs=1, minibatch_size=4, n_steps=4, n_envs=1, seed=0,
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


EXAMPLES = {"PPO": ppo}
