"""TRPO: Fisher-vector products and conjugate gradients against explicit matrices, the line search, the trust region."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from folders import load, start_run
from test_ppo import BOX, check_epochs, play
from torch.nn.utils import parameters_to_vector

SETTINGS = {
    "hidden": 4, "log_std": 0.0, "learning_rate": 1e-3, "gamma": 0.9, "gae_lambda": 0.8, "delta": 0.02, "damping": 0.1,
    "cg_steps": 10, "line_search_steps": 10, "n_epochs": 1, "minibatch_size": 12, "n_steps": 4, "n_envs": 3, "seed": 0,
}  # fmt: skip


def make(actions, **changed):
    return load("TRPO").agent.Agent(5, actions, **{**SETTINGS, **changed})


def normalised_advantage(agent):
    """Of the rollout, by the definition."""
    batch, critic = agent.rollout.steps, agent.critic
    with torch.no_grad():
        value, next_value = critic(torch.tensor(batch.obs)).numpy(), critic(torch.tensor(batch.next_obs)).numpy()
    delta = batch.reward + 0.9 * (1 - batch.terminated) * next_value - value
    advantage, following = np.zeros((4, 3)), np.zeros(3)
    for t in (3, 2, 1, 0):
        advantage[t] = following = delta[t] + 0.72 * (1 - batch.done[t]) * following
    returns = torch.tensor(advantage + value, dtype=torch.float32)
    return torch.tensor((advantage - advantage.mean()) / advantage.std(), dtype=torch.float32), returns


def explicit_fisher(actor, obs):
    """The Hessian of the mean KL divergence from the actor to itself, entry by entry, in double precision."""
    actor = copy.deepcopy(actor).double()
    for name in ("center", "half_width"):
        if hasattr(actor, name):
            setattr(actor, name, getattr(actor, name).double())
    obs, theta = obs.double(), list(actor.parameters())
    with torch.no_grad():
        old = actor(obs)
    kl = torch.distributions.kl_divergence(old, actor(obs)).mean()
    first = parameters_to_vector(torch.autograd.grad(kl, theta, create_graph=True))
    rows = [parameters_to_vector(torch.autograd.grad(entry, theta, retain_graph=True)) for entry in first]
    return torch.stack(rows)


@pytest.mark.parametrize("actions", [3, BOX], ids=["discrete", "box"])
def test_fisher_products_against_the_explicit_hessian_of_the_kl(actions, rng, monkeypatch):
    agent = make(actions)
    play(agent, rng)
    obs, vectors_seen = torch.tensor(agent.rollout.steps.obs), []
    fisher = explicit_fisher(agent.actor, obs)
    advantage, _ = normalised_advantage(agent)
    actor, action = copy.deepcopy(agent.actor), torch.tensor(agent.rollout.steps.action)
    gain = ((actor(obs).log_prob(action) - actor(obs).log_prob(action).detach()).exp() * advantage).mean()
    g = parameters_to_vector(torch.autograd.grad(gain, list(actor.parameters())))
    start = parameters_to_vector(agent.actor.parameters()).detach().clone()
    vectors = torch.randn(5, len(fisher), generator=torch.Generator().manual_seed(0))
    products = []

    def watched(product, b, n_steps):
        products.extend(product(v) for v in vectors)
        vectors_seen.append(b)
        return torch.zeros_like(b)  # no direction, no step

    monkeypatch.setitem(type(agent).update_actor.__globals__, "conjugate_gradients", watched)
    agent.learn()
    for v, product in zip(vectors, products, strict=True):
        expected = (fisher @ v.double() + 0.1 * v.double()).float()
        assert (product - expected).norm() / expected.norm() < 1e-4
    torch.testing.assert_close(vectors_seen[0], g, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(parameters_to_vector(agent.actor.parameters()), start, rtol=0, atol=0)


def test_conjugate_gradients_against_a_direct_solution(rng):
    solve = load("TRPO").agent.conjugate_gradients
    root = torch.tensor(rng.normal(size=(12, 12)))
    a, b = root @ root.T + torch.eye(12), torch.tensor(rng.normal(size=12))
    torch.testing.assert_close(solve(lambda v: a @ v, b, 12), torch.linalg.solve(a, b), rtol=1e-6, atol=1e-8)
    errors = [((x := solve(lambda v: a @ v, b, n) - torch.linalg.solve(a, b)) @ a @ x).item() for n in range(1, 12)]
    assert errors == sorted(errors, reverse=True)
    torch.testing.assert_close(solve(lambda v: a @ v, b, 50), torch.linalg.solve(a, b), rtol=1e-6, atol=1e-8)
    assert (solve(lambda v: a @ v, torch.zeros(12, dtype=torch.float64), 10) == 0).all()


@pytest.mark.parametrize("actions", [3, BOX], ids=["discrete", "box"])
def test_the_first_step_tried_is_the_longest_in_the_trust_region(actions, rng, monkeypatch):
    """It goes along F⁻¹ g, and to second order its divergence is δ; small enough, it is taken."""
    agent = make(actions, delta=1e-6, damping=1e-3, cg_steps=60)
    play(agent, rng)
    advantage, _ = normalised_advantage(agent)
    obs, action = torch.tensor(agent.rollout.steps.obs), torch.tensor(agent.rollout.steps.action)
    old = copy.deepcopy(agent.actor)
    fisher = explicit_fisher(old, obs) + 1e-3 * torch.eye(sum(p.numel() for p in old.parameters()))
    loss = (old(obs).log_prob(action) * advantage).mean()
    g = parameters_to_vector(torch.autograd.grad(loss, list(old.parameters()))).double()
    direction = torch.linalg.solve(fisher, g)
    step = torch.sqrt(2 * 1e-6 / (direction @ fisher @ direction)) * direction
    start = parameters_to_vector(agent.actor.parameters()).detach().double()
    agent.learn()
    moved = parameters_to_vector(agent.actor.parameters()).detach().double() - start
    fraction = (moved.norm() / step.norm()).item()
    assert min(abs(fraction - 0.5**i) for i in range(4)) < 0.02
    assert moved @ step / (moved.norm() * step.norm()) > 0.999


def measured(agent, old, obs, action, advantage):
    """The gain of the surrogate and the mean KL divergence, from the two policies alone."""
    with torch.no_grad():
        before, after = old(obs), agent.actor(obs)
        ratio = (after.log_prob(action) - before.log_prob(action)).exp()
        kl = torch.distributions.kl_divergence(before, after).mean()
    return ((ratio - 1) * advantage).mean().item(), kl.item()


@pytest.mark.parametrize("actions", [3, BOX], ids=["discrete", "box"])
def test_every_update_gains_inside_the_trust_region_or_nothing_moves(actions, rng):
    agent, moves = make(actions, delta=0.05), 0
    for _ in range(30):
        play(agent, rng)
        old, batch = copy.deepcopy(agent.actor), agent.rollout.steps
        obs, action = torch.tensor(batch.obs), torch.tensor(batch.action)
        advantage, _ = normalised_advantage(agent)
        drawn = agent.learn()
        gain, kl = measured(agent, old, obs, action, advantage)
        assert drawn["policy/kl"] == pytest.approx(kl, abs=1e-5)
        assert drawn["loss/actor"] == pytest.approx(-gain, abs=1e-5)
        moved = any(not torch.equal(p, q) for p, q in zip(agent.actor.parameters(), old.parameters(), strict=True))
        assert (gain > 0 and 0 < kl <= 0.05 + 1e-5) if moved else (gain == 0 and kl == 0)
        moves += moved
    assert moves > 20


@pytest.mark.parametrize("bad", ["uphill", "far"])
def test_the_line_search_refuses_a_bad_step(bad, rng, monkeypatch):
    """A step against the gradient never gains, whatever its length; one too far is halved until it is near enough."""
    agent = make(BOX, line_search_steps=3 if bad == "uphill" else 30)
    play(agent, rng)
    old = copy.deepcopy(agent.actor)
    solve = type(agent).update_actor.__globals__["conjugate_gradients"]

    def wrong(product, b, n_steps):
        x = solve(product, b, n_steps)
        return -x if bad == "uphill" else x

    monkeypatch.setitem(type(agent).update_actor.__globals__, "conjugate_gradients", wrong)
    if bad == "far":
        monkeypatch.setitem(type(agent).update_actor.__globals__, "torch", Long())
    drawn = agent.learn()
    moved = [not torch.equal(p, q) for p, q in zip(agent.actor.parameters(), old.parameters(), strict=True)]
    if bad == "uphill":
        assert not any(moved)
        assert (drawn["loss/actor"], drawn["policy/kl"]) == (0.0, 0.0)
    else:
        assert any(moved)
        assert 0 < drawn["policy/kl"] <= 0.02


class Long:
    """torch, but for a square root that is a hundred times too long."""

    def __getattr__(self, name):
        return (lambda x: 100 * torch.sqrt(x)) if name == "sqrt" else getattr(torch, name)


def test_the_critic_is_fitted_to_the_returns_and_the_actor_is_not_touched(rng):
    agent = make(BOX, n_epochs=1, minibatch_size=12, line_search_steps=0)
    play(agent, rng)
    _, returns = normalised_advantage(agent)
    critic, actor, batch = copy.deepcopy(agent.critic), copy.deepcopy(agent.actor), agent.rollout.steps
    loss = ((critic(torch.tensor(batch.obs)) - returns) ** 2).mean()
    loss.backward()
    drawn = agent.learn()
    assert drawn["loss/critic"] == pytest.approx(loss.item(), rel=1e-4)
    for p, expected in zip(agent.critic.parameters(), critic.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-3, atol=1e-5)
        assert not torch.equal(p, expected)
    assert all(torch.equal(p, q) for p, q in zip(agent.actor.parameters(), actor.parameters(), strict=True))


def test_an_epoch_of_the_critic_uses_each_step_once(rng, monkeypatch):
    agent, seen = make(3, n_epochs=3, minibatch_size=5, line_search_steps=0), []
    play(agent, rng)
    forward = type(agent.critic).forward

    def watched(critic, obs):
        if obs.dim() == 2:
            seen.append(obs)
        return forward(critic, obs)

    monkeypatch.setattr(type(agent.critic), "forward", watched)
    check_epochs(agent, seen)


def test_no_update_of_a_training_leaves_the_trust_region(tmp_path, monkeypatch):
    """On the pendulum, with what the agent says measured anew from the two policies."""
    rooms, kls = load("TRPO"), []
    rooms.main.ENV_ID, rooms.main.N_STEPS = "Pendulum-v1", 64
    update_actor = rooms.agent.Agent.update_actor

    def watched(agent, obs, action, advantage, old_policy):
        old = copy.deepcopy(agent.actor)
        drawn = update_actor(agent, obs, action, advantage, old_policy)
        kls.append((measured(agent, old, obs, action, advantage), drawn))
        return drawn

    monkeypatch.setattr(rooms.agent.Agent, "update_actor", watched)
    assert isinstance(gym.make("Pendulum-v1").action_space, gym.spaces.Box)
    rooms.main.train(start_run(rooms, tmp_path, 40_960), 0, 40_960)
    assert len(kls) == 40
    assert all(kl <= rooms.main.DELTA + 1e-5 for (_, kl), _ in kls)
    assert all(gain >= -1e-6 for (gain, _), _ in kls)
    assert sum(kl > 0.2 * rooms.main.DELTA for (_, kl), _ in kls) > 30, "the region is used"
    assert all(drawn["policy/kl"] == pytest.approx(kl, abs=1e-5) for (_, kl), drawn in kls)
