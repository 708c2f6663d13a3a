"""ACER: Retrace, truncation with bias correction, trust region and memory, by definition and against exact answers."""

import copy
import itertools

import gymnasium as gym
import numpy as np
import probes
import pytest
import scipy.optimize
import torch
from folders import load

SETTINGS = {
    "hidden": 3, "learning_rate": 1e-3, "learning_steps": 100, "gamma": 0.9, "retrace": True, "truncation": 1.5,
    "delta": 0.05, "alpha": 0.75, "entropy_coef": 0.3, "max_grad_norm": 1e9, "n_steps": 6, "n_envs": 4,
    "replay_ratio": 2.0, "capacity": 5, "seed": 0,
}  # fmt: skip
ACER = load("ACER")
Batch = ACER.replay.Batch


def make(**changed):
    return ACER.agent.Agent(3, 2, **{**SETTINGS, **changed})


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def ends(rng, shape):
    """Terminations, and ends of episodes: those and truncations."""
    terminated, truncated = rng.random((2, *shape)) < 0.2
    return terminated.astype(np.float32), (terminated | truncated).astype(np.float32)


def random_batch(rng, n_steps=6, n_envs=4, n_actions=2):
    """Steps of a policy that is not the agent's, with ends of both kinds among them."""
    shape = (n_steps, n_envs)
    terminated, done = ends(rng, shape)
    obs, next_obs = rng.normal(size=(2, *shape, 3)).astype(np.float32)
    next_obs[:-1] = np.where(done[:-1, :, None] == 1, next_obs[:-1], obs[1:])  # the next obs, unless an episode ended
    action, reward = rng.integers(n_actions, size=shape), 3 * rng.normal(size=shape).astype(np.float32)
    log_mu = np.log(softmax(2 * rng.normal(size=(*shape, n_actions)))).astype(np.float32)
    return Batch(*map(torch.from_numpy, (obs, action, reward, next_obs, terminated, done, log_mu)))


# Retrace


def test_retrace_against_the_definition(rng):
    """Q^ret_t - Q_t is the sum over s of γ^(s-t), the product of min(1, ρ) from t + 1 to s, and δ_s."""
    n_steps, n_envs, gamma = 12, 5, 0.9
    td_error, rho = rng.normal(size=(n_steps, n_envs)), rng.exponential(size=(n_steps, n_envs))
    _, done = ends(rng, (n_steps, n_envs))
    expected = np.zeros((n_steps, n_envs))
    for t, env in itertools.product(range(n_steps), range(n_envs)):
        for s in range(t, n_steps):
            factors = [min(1.0, rho[i, env]) for i in range(t + 1, s + 1)]
            expected[t, env] += gamma ** (s - t) * np.prod(factors) * td_error[s, env]
            if done[s, env]:
                break
    trace = torch.tensor(rho).clamp(max=1)
    found = ACER.agent.retrace(torch.tensor(td_error), torch.tensor(done).double(), trace, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    as_in_the_paper = np.zeros((n_steps, n_envs))  # algorithm 2, with q and v in place of their difference
    q, v, reward = rng.normal(size=(3, n_steps, n_envs))
    v_next = np.concatenate([v[1:], rng.normal(size=(1, n_envs))])
    for env in range(n_envs):
        following = v_next[-1, env]
        for t in reversed(range(n_steps)):
            following = reward[t, env] + gamma * following
            as_in_the_paper[t, env] = following
            following = min(1.0, rho[t, env]) * (following - q[t, env]) + v[t, env]
    td_error = torch.tensor(reward + gamma * v_next - q)
    found = q + ACER.agent.retrace(td_error, torch.zeros_like(td_error), trace, gamma).numpy()
    np.testing.assert_allclose(found, as_in_the_paper, rtol=1e-6)


def targets(agent, batch, monkeypatch):
    """The targets of the critic in one update."""
    caught = []
    monkeypatch.setattr(ACER.agent.F, "mse_loss", lambda q, target: caught.append(target) or ((q - target) ** 2).mean())
    agent.update(batch)
    monkeypatch.undo()
    return caught[0].numpy()


def same_value_for_all_actions(critic):
    with torch.no_grad():
        critic.q.weight[1:], critic.q.bias[1:] = critic.q.weight[0], critic.q.bias[0]


def test_on_policy_the_targets_are_n_step_returns(rng, monkeypatch):
    """Where c = 1 and no action is better than another, nothing but rewards and the last value is left of the sum."""
    agent, batch = make(), random_batch(rng)
    same_value_for_all_actions(agent.critic)
    batch = batch._replace(log_mu=torch.log_softmax(agent.actor(batch.obs), -1).detach())
    next_value = agent.critic(batch.next_obs)[..., 0].detach().numpy()
    expected = np.zeros((6, 4))
    for t, env in itertools.product(range(6), range(4)):
        for s in range(t, 6):
            expected[t, env] += 0.9 ** (s - t) * batch.reward[s, env].item()
            if batch.done[s, env] or s == 5:
                expected[t, env] += 0.0 if batch.terminated[s, env] else 0.9 ** (s - t + 1) * next_value[s, env]
                break
    np.testing.assert_allclose(targets(agent, batch, monkeypatch), expected, rtol=1e-4, atol=1e-5)


class SmallMDP:
    """Two states, two actions, known in full: the next state is 1 with chance `to_one`."""

    def __init__(self, rng):
        self.to_one, self.reward, self.gamma = rng.random((2, 2)), rng.normal(size=(2, 2)), 0.9
        self.pi, self.mu = softmax(2 * rng.normal(size=(2, 2, 2)))

    def values(self):
        """Q^π by solving Bellman's equation."""
        q = np.zeros((2, 2))
        for _ in range(1000):
            q = self.backup(q)
        return q

    def backup(self, q):
        v = (self.pi * q).sum(axis=1)
        return self.reward + self.gamma * ((1 - self.to_one) * v[0] + self.to_one * v[1])

    def expected_targets(self, q, pi, mu, n_steps, cut=True):
        """Mean target of each first state and action: every way to go on for `n_steps`, weighted with its chance."""
        paths = list(itertools.product(range(2), repeat=2 * n_steps + 1))  # s, a, s, a, ..., s
        states, actions = np.array(paths)[:, 0::2].T, np.array(paths)[:, 1::2].T
        chance = np.where(states[1:] == 1, self.to_one[states[:-1], actions], 1 - self.to_one[states[:-1], actions])
        chance = chance.prod(axis=0) * mu[states[1:-1], actions[1:]].prod(axis=0)
        q_taken = q[states[:-1], actions]
        td_error = self.reward[states[:-1], actions] + self.gamma * (pi * q).sum(1)[states[1:]] - q_taken
        trace = (pi / mu)[states[:-1], actions]
        trace = trace.clip(max=1) if cut else np.ones_like(trace)
        arguments = map(torch.tensor, (td_error, np.zeros_like(td_error), trace))
        target = q_taken[0] + ACER.agent.retrace(*arguments, self.gamma)[0].numpy()
        result = np.zeros((2, 2))
        np.add.at(result, (states[0], actions[0]), chance * target)
        return result


def test_with_exact_values_the_mean_target_is_the_value_on_policy_and_off(rng):
    mdp = SmallMDP(rng)
    q = mdp.values()
    for mu, cut in itertools.product((mdp.pi, mdp.mu), (True, False)):
        np.testing.assert_allclose(mdp.expected_targets(q, mdp.pi, mu, 4, cut), q, rtol=1e-6)
    returns = q  # n-step returns on-policy, on average: backups of Q^π
    for _ in range(4):
        returns = mdp.backup(returns)
    np.testing.assert_allclose(mdp.expected_targets(q, mdp.pi, mdp.pi, 4), returns, rtol=1e-6)


def test_retrace_finds_the_values_from_any_other_policys_steps(rng):
    for _ in range(5):
        mdp, q = SmallMDP(rng), rng.normal(size=(2, 2))
        for _ in range(150):
            q = mdp.expected_targets(q, mdp.pi, mdp.mu, 3)
        np.testing.assert_allclose(q, mdp.values(), rtol=1e-4, atol=1e-4)


# Truncated importance weights with bias correction


@pytest.mark.parametrize("c", [1.0, 10.0, np.inf])
def test_the_corrected_gradient_is_unbiased_on_a_bandit(c):
    """The mean over all actions of μ is the exact gradient of Σ π(a) Q(a), whatever c."""
    pi = torch.tensor([0.55, 0.3, 0.1, 0.05], dtype=torch.float64)
    mu = torch.tensor([0.01, 0.1, 0.09, 0.8], dtype=torch.float64)
    q = torch.tensor([1.0, -2.0, 4.0, 0.5], dtype=torch.float64)
    assert ((pi / mu > 1).sum(), (pi / mu > 10).sum()) == (3, 1), "the weights must be cut"
    logits = pi.log().requires_grad_()
    (torch.softmax(logits, -1) * q).sum().backward()
    every = torch.arange(4)
    table = (row.expand(4, 4) for row in (pi, pi / mu))
    g = ACER.agent.policy_gradient(*table, every, q, q.expand(4, 4), c)  # [action taken, logit]
    torch.testing.assert_close((mu.unsqueeze(-1) * g).sum(0), logits.grad)
    value = (pi * q).sum()
    largest = (pi / mu).clamp(max=c) * (q - value).abs()
    correction = (pi * (1 - c * mu / pi).clamp(min=0) * (q - value).abs()).sum() if c < np.inf else 0.0
    assert (g.abs().max(-1).values <= largest + correction + 1e-12).all(), "no weight is larger than c"


def test_a_wrong_critic_biases_only_what_is_cut_off():
    """The return counts up to weight c; beyond that the critic does."""
    pi, mu = torch.tensor([0.5, 0.5]), torch.tensor([0.01, 0.99])
    returns, every = torch.tensor([1.0, 0.0]), torch.arange(2)
    means = {}
    for c, shift in itertools.product((1.0, 10.0, 1e9), (0.0, 1.0)):
        q = torch.tensor([1.0 + shift, 0.0])
        g = ACER.agent.policy_gradient(pi.expand(2, 2), (pi / mu).expand(2, 2), every, returns, q.expand(2, 2), c)
        means[c, shift] = (mu.unsqueeze(-1) * g).sum(0)[0].item()
    exact = 0.25  # π(1 - π)(1 - 0)
    assert [means[c, 0.0] for c in (1.0, 10.0, 1e9)] == pytest.approx([exact] * 3, rel=1e-4)
    wrong = [abs(means[c, 1.0] - exact) for c in (1.0, 10.0, 1e9)]
    assert wrong[0] > wrong[1] > wrong[2] == pytest.approx(0, abs=1e-4)


# Trust region


def nearest(g, k, delta):
    """argmin |z - g|² with kᵀz ≤ δ, by a solver that knows nothing of the closed form."""
    constraint = {"type": "ineq", "fun": lambda z: delta - k @ z, "jac": lambda z: -k}
    found = scipy.optimize.minimize(
        lambda z: ((z - g) ** 2).sum() / 2, np.zeros_like(g), jac=lambda z: z - g, constraints=constraint,
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert found.success
    return found.x


def test_the_projection_is_the_nearest_vector_inside(rng):
    active = 0
    for _ in range(200):
        n, delta = rng.integers(2, 6), rng.choice([0.0, 0.1, 1.0])
        g, k = rng.normal(size=(2, n)) * 2
        z = ACER.agent.trust_region(torch.tensor(g), torch.tensor(k), delta).numpy()
        assert k @ z <= delta + 1e-9
        np.testing.assert_allclose(z, nearest(g, k, delta), atol=1e-6)
        if k @ g <= delta:
            np.testing.assert_array_equal(z, g)
        active += k @ g > delta
    assert 50 < active < 150, "both cases must have been seen"


def test_the_projection_takes_each_step_for_itself_and_leaves_equal_policies_alone(rng):
    g, k = torch.tensor(rng.normal(size=(2, 6, 4, 3)))
    k[2] = 0.0
    z = ACER.agent.trust_region(g, k, 0.1)
    for t, env in itertools.product(range(6), range(4)):
        torch.testing.assert_close(z[t, env], ACER.agent.trust_region(g[t, env], k[t, env], 0.1))
    assert torch.equal(z[2], g[2])
    assert torch.equal(ACER.agent.trust_region(g, k, np.inf), g)
    assert torch.isfinite(ACER.agent.trust_region(g, 1e-12 * k, 0.0)).all()


# The whole update


def update_by_hand(agent, batch, retrace, c, delta):
    """Gradients of all parameters: one step at a time, with the derivatives of log π and KL taken by autograd."""
    actor, critic = copy.deepcopy(agent.actor), copy.deepcopy(agent.critic)
    shape, losses, active = batch.reward.shape, [], 0
    for env in range(shape[1]):
        following = None
        for t in reversed(range(shape[0])):
            obs, next_obs, action = batch.obs[t, env], batch.next_obs[t, env], batch.action[t, env]
            if batch.done[t, env] or following is None:
                v_next = (torch.softmax(actor(next_obs), -1) * critic(next_obs)).sum().item()
                following = 0.0 if batch.terminated[t, env] else v_next
            target = batch.reward[t, env].item() + 0.9 * following
            q, logits = critic(obs), actor(obs)
            pi, mu = torch.softmax(logits, -1), batch.log_mu[t, env].exp()
            rho, value = (pi / mu).tolist(), (pi * q).sum().item()
            phi = logits.detach().requires_grad_()
            log_pi = torch.log_softmax(phi, -1)
            surrogate = min(c, rho[action]) * log_pi[action] * (target - value)
            for a in range(2):
                surrogate = surrogate + max(0.0, 1 - c / rho[a]) * pi[a].item() * log_pi[a] * (q[a].item() - value)
            g = torch.autograd.grad(surrogate, phi, retain_graph=True)[0].double().numpy()
            average = torch.log_softmax(agent.average_actor(obs), -1)
            divergence = (average.exp() * (average - log_pi)).sum()
            k = torch.autograd.grad(divergence, phi)[0].double().numpy()
            active += k @ g > delta
            z = nearest(g, k, delta) if delta < np.inf else g
            losses.append(
                (q[action] - target) ** 2
                - (torch.tensor(z, dtype=torch.float32) * logits).sum()
                - 0.3 * -(pi * pi.log()).sum()
            )
            cut = min(1.0, rho[action]) if retrace else 1.0
            following = value + cut * (target - q[action].item())
    torch.stack(losses).mean().backward()
    return [p.grad for p in (*actor.parameters(), *critic.parameters())], active


@pytest.mark.parametrize(
    ("retrace", "c", "delta"), [(True, 1.5, 0.05), (True, 1.0, 0.0), (False, 1.5, 0.05), (True, np.inf, np.inf)]
)
def test_an_update_by_hand(retrace, c, delta, rng):
    agent = make(retrace=retrace, truncation=c, delta=delta)
    with torch.no_grad():
        for p in (*agent.actor.parameters(), *agent.critic.parameters()):
            p.mul_(2.0)
        for p in agent.average_actor.parameters():
            p.mul_(-1.0)
    batch = random_batch(rng)
    expected, active = update_by_hand(agent, batch, retrace, c, delta)
    assert active in range(4, 21) or delta == np.inf, "the trust region must matter to some steps and not to others"
    rho = (torch.log_softmax(agent.actor(batch.obs), -1) - batch.log_mu).exp()
    assert (rho > 1.5).any()
    assert (rho < 1).any()
    before = [p.detach().clone() for p in agent.parameters]
    average = [p.clone() for p in agent.average_actor.parameters()]
    agent.update(batch)
    for p, old, gradient in zip(agent.parameters, before, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)
        large = p.grad.abs() > 1e-4  # Adam's first step
        torch.testing.assert_close((p - old)[large], (-1e-3 * p.grad.sign())[large], rtol=1e-2, atol=1e-6)
    for p, old, new in zip(agent.average_actor.parameters(), average, agent.actor.parameters(), strict=True):
        torch.testing.assert_close(p, 0.75 * old + 0.25 * new.detach())
        assert p.grad is None


def test_the_gradient_is_clipped(rng):
    agent = make(max_grad_norm=0.1)
    agent.update(random_batch(rng))
    assert torch.stack([p.grad.norm() for p in agent.parameters]).norm().item() == pytest.approx(0.1, rel=1e-3)


# Memory


def fill(rollout, n_rollouts, first=0):
    """Rollout i, step t, environment e: obs (i, t, e), and all else made from these."""
    for i, t in itertools.product(range(first, first + n_rollouts), range(6)):
        obs = np.array([(i, t, e) for e in range(4)], np.float32)
        done = (obs.sum(1) % 5 == 0).astype(np.float32)
        rollout.add(obs, obs[:, 2] % 2, -obs.sum(1), obs + np.array([0, 1, 0]), done * (obs[:, 2] % 2), done)
        if t == 5:
            batch = rollout.take()
            batch.log_mu.copy_(batch.obs[..., :2] / 8)


def is_whole(batch):
    """One rollout, its steps in order, its environments apart."""
    i = batch.obs[0, 0, 0].item()
    expected = np.array([[(i, t, e) for e in range(4)] for t in range(6)])
    np.testing.assert_array_equal(batch.obs, expected)
    np.testing.assert_array_equal(batch.next_obs, expected + np.array([0, 1, 0]))
    np.testing.assert_array_equal(batch.action, expected[..., 2] % 2)
    np.testing.assert_array_equal(batch.reward, -expected.sum(-1))
    np.testing.assert_array_equal(batch.done, expected.sum(-1) % 5 == 0)
    np.testing.assert_array_equal(batch.terminated, (expected.sum(-1) % 5 == 0) * (expected[..., 2] % 2))
    np.testing.assert_array_equal(batch.log_mu, expected[..., :2] / 8)
    return int(i)


def memory(capacity=5, n_envs=4):
    return ACER.replay.Rollout(capacity, 6, n_envs, 3, 2, np.random.default_rng(0))


@pytest.mark.parametrize("rollouts", [1, 4, 5, 6, 13])
def test_wrap_around_keeps_the_newest_rollouts_whole(rollouts):
    rollout = memory()
    addresses = [array.ctypes.data for array in rollout.steps]
    fill(rollout, rollouts)
    assert len(rollout) == 0
    counts = np.bincount([is_whole(rollout.sample()) for _ in range(5000)], minlength=rollouts)
    kept = range(max(0, rollouts - 5), rollouts)
    assert set(np.flatnonzero(counts)) == set(kept)
    np.testing.assert_allclose(counts[kept.start :] / 5000, 1 / len(kept), atol=0.03)  # each is equally likely
    assert [array.ctypes.data for array in rollout.steps] == addresses, "all memory is taken at the start"


def test_the_newest_rollout_is_taken_once_and_sampled_later():
    rollout = memory()
    fill(rollout, 7)
    for t in range(6):
        rollout.add(*(np.full((4, 3), 70 + t), 1, 2.0, np.zeros((4, 3)), 0, 1))
        assert len(rollout) == t + 1
    batch = rollout.take()
    np.testing.assert_array_equal(batch.obs[:, 0, 0], range(70, 76))
    assert len(rollout) == 0
    assert 70 in {int(rollout.sample().obs[0, 0, 0]) for _ in range(100)}


def test_the_memory_survives_a_checkpoint():
    rollout, other = memory(), memory()
    fill(rollout, 7)
    rollout.add(*(np.full((4, 3), 70), 1, 2.0, np.zeros((4, 3)), 0, 1))  # begun when the checkpoint is written
    other.add(*(np.full((4, 3), 80), 1, 2.0, np.zeros((4, 3)), 0, 1))  # of an episode that is not gone on with
    other.load_state_dict(copy.deepcopy(rollout.state_dict()))
    assert len(other) == 0
    fill(other, 1, first=7)
    assert {is_whole(other.sample()) for _ in range(100)} == {3, 4, 5, 6, 7}
    for wrong in (memory(4), memory(9), memory(5, n_envs=1), memory(5, n_envs=8)):
        with pytest.raises(ValueError, match="capacity"):
            wrong.load_state_dict(rollout.state_dict())


def step_all(agent, rng, n_steps=6):
    for _ in range(n_steps):
        obs = rng.normal(size=(4, 3)).astype(np.float32)
        agent.rollout.add(obs, agent.act(obs), rng.normal(size=4), obs + 1, np.zeros(4), np.zeros(4))


def test_the_policy_that_took_the_steps_is_stored_with_them(rng):
    agent = make(learning_rate=0.05, replay_ratio=3.0)
    acted = []
    for i in range(8):
        acted.append(copy.deepcopy(agent.actor))
        step_all(agent, rng)
        agent.learn()
        for age in range(min(i + 1, 5)):
            batch = agent.rollout.batch((i - age) % 5)
            expected = torch.log_softmax(acted[i - age](batch.obs), -1)
            torch.testing.assert_close(batch.log_mu, expected.detach())
    assert not torch.allclose(torch.log_softmax(agent.actor(batch.obs), -1), batch.log_mu, atol=0.01)


def test_one_update_from_new_steps_and_a_poisson_number_from_old(rng, monkeypatch):
    agent, counts, is_newest = make(), [], []
    update = agent.update

    def watched(batch):
        counts[-1] += 1
        if counts[-1] == 1:
            torch.testing.assert_close(batch.obs, torch.from_numpy(newest))
        else:
            is_newest.append(np.array_equal(batch.obs, newest))
        return update(batch)

    monkeypatch.setattr(agent, "update", watched)
    for _ in range(300):
        step_all(agent, rng)
        newest = agent.rollout.steps.obs[agent.rollout.taken % 5].copy()
        counts.append(0)
        agent.learn()
    old = np.array(counts) - 1
    assert old.mean() == pytest.approx(2.0, abs=4 * np.sqrt(2 / 300))
    assert old.var() == pytest.approx(2.0, abs=0.7)
    assert np.mean(is_newest) == pytest.approx(1 / 5, abs=0.08), "all rollouts of the memory are learned from"
    assert agent.updates == sum(counts)
    agent.replay_ratio = 0
    step_all(agent, rng)
    counts.append(0)
    newest = agent.rollout.steps.obs[agent.rollout.taken % 5].copy()
    agent.learn()
    assert counts[-1] == 1


def test_no_update_reaches_over_the_end_of_an_episode(rng, monkeypatch):
    """Whatever comes after an end changes no target before it; after an ordinary step it does."""
    agent, batch = make(learning_rate=0.0), random_batch(rng)
    batch.done[:], batch.terminated[:] = 0.0, 0.0
    batch.done[2, 0] = batch.done[2, 1] = batch.terminated[2, 1] = 1.0
    first = targets(agent, batch, monkeypatch)
    batch.reward[3:] += 7.0
    batch.obs[3:] += 1.0
    second = targets(agent, batch, monkeypatch)
    np.testing.assert_array_equal(first[:3, :2], second[:3, :2])
    assert (first[:3, 2:] != second[:3, 2:]).all()
    batch.next_obs[2] += 1.0  # the last observation counts where only the time was up
    third = targets(agent, batch, monkeypatch)
    assert (second[:3, 0] != third[:3, 0]).all()
    np.testing.assert_array_equal(second[:3, 1], third[:3, 1])


def test_a_checkpoint_has_all_that_training_needs(rng):
    agent, other = make(learning_rate=0.05), make(learning_rate=0.05, seed=1)
    for _ in range(7):
        step_all(agent, rng)
        agent.learn()
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    rngs = np.random.default_rng(1), np.random.default_rng(1)
    for one, its_rng in zip((agent, other), rngs, strict=True):
        for _ in range(3):
            step_all(one, its_rng)
            one.learn()
    for name in ("actor", "average_actor", "critic"):
        for p, q in zip(getattr(agent, name).parameters(), getattr(other, name).parameters(), strict=True):
            assert torch.equal(p, q)


# Learning


ANSWERS = {  # task -> what Q is at each observation, [observation][action]
    "constant": {0.0: [1.0, 1.0]},
    "observed": {-1.0: [-1.0, -1.0], 1.0: [1.0, 1.0]},
    "delayed": {-1.0: [0.99, 0.99], 1.0: [1.0, 1.0]},
    "acted": {0.0: [-1.0, 1.0]},
    "both": {-1.0: [1.0, -1.0], 1.0: [-1.0, 1.0]},
}


@pytest.mark.parametrize("task", ANSWERS)
def test_probe_environments(task, monkeypatch, tmp_path):
    rooms, probe = load("ACER"), getattr(probes, task)
    assert rooms.main.GAMMA == 0.99
    monkeypatch.setattr(rooms.main, "make_env", lambda: gym.wrappers.RecordEpisodeStatistics(probe()))

    def check(agent):
        for obs, values in ANSWERS[task].items():
            obs = np.array([obs], np.float32)
            np.testing.assert_allclose(agent.critic(torch.tensor(obs)).detach(), values, atol=0.05)
            if values[0] != values[1]:
                assert torch.softmax(agent.actor(torch.tensor(obs)), -1)[np.argmax(values)] > 0.95
                assert agent.act(obs, explore=False) == np.argmax(values)

    probes.train(rooms, tmp_path, 4000, check)
