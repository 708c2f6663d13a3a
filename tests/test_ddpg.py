"""DDPG, TD3 and SAC: updates by hand, noise, the squashed Gaussian, the action box."""

import copy
import math
import re

import lineage
import numpy as np
import pytest
import scipy.stats
import torch
from folders import CONTINUOUS, importable, load, train
from torch.distributions import Normal, TanhTransform, TransformedDistribution

DDPG = "DeepDeterministicPolicyGradient"
SETTINGS = {
    "hidden": 8, "actor_learning_rate": 1e-3, "critic_learning_rate": 2e-3, "gamma": 0.9, "tau": 0.25,
    "batch_size": 3, "capacity": 3, "seed": 0,
}  # fmt: skip
NOISE = {"noise": "gaussian", "noise_sigma": 0.3}
EXTRA = {DDPG: NOISE, "TD3": NOISE | {"policy_delay": 1, "target_sigma": 0.4, "target_clip": 0.5}, "SAC": {}}
LOW, HIGH = np.array([-3.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32)

OBS = np.array([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]], np.float32)
NEXT = np.array([[0.7, 0.1], [0.2, -0.9], [0.3, 0.3]], np.float32)
ACTION = np.array([[-3.0, 1.5], [0.5, 1.2], [-1.0, 2.0]], np.float32)
UNIT = [[-1.0, 0.0], [0.75, -0.6], [0.0, 1.0]]  # the same between -1 and 1
REWARD = [5.0, -2.0, 0.5]
TERMINATED = [True, False, False]  # an end, an ordinary step, and a step at which only the time was up
EPSILON = torch.tensor([[0.3, -0.9], [2.0, 0.1], [-0.4, -1.6]])  # noise; times 0.4 two of its numbers are beyond 0.5


def make(folder, **changed):
    return load(folder).agent.Agent(2, LOW, HIGH, **{**SETTINGS, **EXTRA[folder], **changed})


def prepared(folder, monkeypatch, **changed):
    """An agent whose targets differ from its networks, and whose next batch and noise are known."""
    agent = make(folder, **changed)
    for transition in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        agent.replay.add(*transition)
    with torch.no_grad():
        for p in [*agent.actor.parameters(), *agent.critic.parameters()]:
            p.mul_(1.5)
        for p in targets_of(agent):
            p.mul_(-1)
        if folder != DDPG:  # so that now the one and now the other critic gives the smaller value
            for q, sign in zip(agent.target_critic.q, (1, -1), strict=True):
                q[0].weight[:, 0] *= sign * 5
    monkeypatch.setattr(agent.replay, "sample", lambda n: agent.replay.batch(np.arange(3)))
    monkeypatch.setattr(agent, "gaussian", lambda shape: EPSILON.expand(shape))
    return agent


def targets_of(agent):
    nets = [getattr(agent, name) for name in ("target_actor", "target_critic") if hasattr(agent, name)]
    return [p for net in nets for p in net.parameters()]


def forward(net, inputs):
    """A sequence of layers on one vector, number by number; the outputs can be differentiated."""
    values = [torch.as_tensor(x) for x in inputs]
    for layer in net:
        if isinstance(layer, torch.nn.Linear):
            rows = zip(layer.weight, layer.bias, strict=True)
            values = [sum(w * x for w, x in zip(row, values, strict=True)) + bias for row, bias in rows]
        else:
            values = [torch.relu(x) if isinstance(layer, torch.nn.ReLU) else torch.tanh(x) for x in values]
    return values


def values_by_hand(critic, obs, action):
    """[Q(s, a)] or [Q1(s, a), Q2(s, a)]."""
    nets = critic.q if isinstance(critic.q, torch.nn.ModuleList) else [critic.q]
    return [forward(net, [*map(torch.as_tensor, obs), *action])[0] for net in nets]


def policy_by_hand(folder, actor, obs, epsilon):
    """The action, and with SAC its log-probability, by torch's own distributions."""
    if folder != "SAC":
        return forward(actor.action, obs), 0.0
    *mean, s0, s1 = forward(actor.gaussian, obs)
    std = [s0.exp(), s1.exp()]
    gaussian = Normal(torch.stack(mean), torch.stack(std))
    u = torch.stack([m + s * e for m, s, e in zip(mean, std, epsilon, strict=True)])
    squashed = TransformedDistribution(gaussian, TanhTransform(cache_size=1))
    action = squashed.transforms[0](u)
    return list(action), squashed.log_prob(action).sum()


def adam(p, lr):
    """Where Adam's first step leads: by the learning rate against the sign of the gradient."""
    return p.detach() - lr * p.grad / (p.grad.abs() + 1e-8)


def critic_loss_by_hand(folder, agent, critic, alpha):
    """Mean squared error, one transition and one critic at a time; and how often each critic gave the target."""
    total, smaller, n = 0.0, [], 0
    for i in range(3):
        if folder == "SAC":
            action, log_prob = policy_by_hand(folder, agent.actor, NEXT[i], EPSILON[i])
        else:
            action, log_prob = policy_by_hand(folder, agent.target_actor, NEXT[i], None)
        if folder == "TD3":
            noise = [max(-0.5, min(0.5, 0.4 * float(e))) for e in EPSILON[i]]
            action = [max(-1.0, min(1.0, float(a) + e)) for a, e in zip(action, noise, strict=True)]
        values = [v.item() for v in values_by_hand(agent.target_critic, NEXT[i], [torch.as_tensor(a) for a in action])]
        smaller.append(values.index(min(values)))
        soft_value = min(values) - alpha * torch.as_tensor(log_prob).item()
        y = REWARD[i] if TERMINATED[i] else REWARD[i] + 0.9 * soft_value
        for q in values_by_hand(critic, OBS[i], [torch.tensor(a) for a in UNIT[i]]):
            total, n = total + (q - y) ** 2, n + 1
    return total / n, smaller


def actor_loss_by_hand(folder, actor, critic, alpha):
    total = 0.0
    for i in range(3):
        action, log_prob = policy_by_hand(folder, actor, OBS[i], EPSILON[i])
        values = values_by_hand(critic, OBS[i], action)
        total = total + alpha * log_prob - (min(values) if folder == "SAC" else values[0])
    return total / 3


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_one_update_is_the_same_with_plain_loops(folder, monkeypatch):
    agent = prepared(folder, monkeypatch, seed=54)
    alpha = 1.0  # its first value
    actor, critic = copy.deepcopy(agent.actor), copy.deepcopy(agent.critic)
    old_targets = [p.clone() for p in targets_of(agent)]
    critic_loss, smaller = critic_loss_by_hand(folder, agent, critic, alpha)
    assert folder == DDPG or len(set(smaller[1:])) == 2, "the case must show both critics giving the target"
    critic_loss.backward()
    with torch.no_grad():
        for p in critic.parameters():
            p.copy_(adam(p, 2e-3))
    actor_loss = actor_loss_by_hand(folder, actor, critic, alpha)
    actor_loss.backward()
    drawn = agent.learn()
    assert drawn["loss/critic"] == pytest.approx(critic_loss.item(), rel=1e-4)
    assert drawn["loss/actor"] == pytest.approx(actor_loss.item(), rel=1e-4)
    for p, expected in zip(agent.critic.parameters(), critic.parameters(), strict=True):
        torch.testing.assert_close(p, expected, rtol=1e-4, atol=2e-6)
    for p, expected in zip(agent.actor.parameters(), actor.parameters(), strict=True):
        torch.testing.assert_close(p, adam(expected, 1e-3), rtol=1e-4, atol=2e-6)
    online = [*(agent.actor.parameters() if folder != "SAC" else ()), *agent.critic.parameters()]
    for p, old, new in zip(targets_of(agent), old_targets, online, strict=True):
        torch.testing.assert_close(p, 0.75 * old + 0.25 * new.detach())
    if folder == "SAC":
        entropy = -np.mean([policy_by_hand(folder, actor, OBS[i], EPSILON[i])[1].item() for i in range(3)])
        assert drawn["policy/entropy"] == pytest.approx(entropy, rel=1e-4)
        assert agent.temperature.log_alpha.item() == pytest.approx(-1e-3 * np.sign(entropy - -2), rel=1e-4)


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_each_part_of_an_update_moves_its_own_network_only(folder, monkeypatch):
    def state(agent):
        nets = ("actor", "critic", "target_actor", "target_critic", "temperature")
        return {n: [p.detach().clone() for p in getattr(agent, n).parameters()] for n in nets if hasattr(agent, n)}

    def moved(agent, before):
        now = state(agent)
        return {name for name in now if not all(map(torch.equal, now[name], before[name]))}

    agent = prepared(folder, monkeypatch)
    batch = agent.replay.sample(3)
    for part, expected in [
        (lambda: agent.learn_critic(batch), {"critic"}),
        (lambda: agent.learn_actor(batch), {"actor"} | ({"temperature"} if folder == "SAC" else set())),
        (agent.move_targets, {"target_critic"} | ({"target_actor"} if folder != "SAC" else set())),
    ]:
        before, grads = state(agent), [p.grad is not None and p.grad.clone() for p in agent.critic.parameters()]
        part()
        assert moved(agent, before) == expected
        if "critic" not in expected:  # no gradient is computed for it in vain
            assert all(torch.equal(p.grad, grad) for p, grad in zip(agent.critic.parameters(), grads, strict=True))
        if expected == {"critic"}:
            others = [agent.actor, *([agent.temperature] if folder == "SAC" else [])]
            assert all(p.grad is None for net in others for p in net.parameters()), "targets are constants"
    agent.act(OBS)
    assert all(p.grad is None for p in targets_of(agent))


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_no_gradient_is_left_over_for_the_next_update(folder, monkeypatch):
    agent = prepared(folder, monkeypatch, actor_learning_rate=0.0, critic_learning_rate=0.0, tau=0.0)
    nets = [agent.actor, agent.critic, *([agent.temperature] if folder == "SAC" else [])]
    grads = []
    for _ in range(2):
        agent.learn()
        grads.append([p.grad.clone() for net in nets for p in net.parameters() if p.grad is not None])
    assert all(map(torch.equal, *grads))


def test_td3_moves_actor_and_targets_once_in_so_many_updates(monkeypatch):
    agent = prepared("TD3", monkeypatch, policy_delay=3)
    slow = [*agent.actor.parameters(), *targets_of(agent)]
    for update in range(1, 10):
        before = [p.detach().clone() for p in slow]
        critic = [p.detach().clone() for p in agent.critic.parameters()]
        drawn = agent.learn()
        moved = {not torch.equal(old, p) for old, p in zip(before, slow, strict=True)}
        assert moved == {update % 3 == 0}
        assert ("loss/actor" in drawn) == (update % 3 == 0)
        assert not any(map(torch.equal, critic, agent.critic.parameters()))
    other = make("TD3", policy_delay=3)
    agent.learn()
    other.load_state_dict(agent.state_dict())
    assert [("loss/actor" in other.learn()) for _ in range(3)] == [False, True, False], "the count is in a checkpoint"


def test_td3_target_noise_is_gaussian_cut_off_and_inside_the_box(monkeypatch):
    agent = make("TD3", batch_size=20_000)
    for transition in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        agent.replay.add(*transition)
    seen = []
    original = agent.target_critic.forward
    monkeypatch.setattr(agent.target_critic, "forward", lambda obs, a: seen.append((obs, a)) or original(obs, a))
    target_actor = copy.deepcopy(agent.target_actor)
    agent.learn()
    obs, action = seen[0]
    noise = (action - target_actor(obs)).flatten().numpy()  # the target actor is near 0, far from the ends
    assert np.abs(noise).max() == pytest.approx(0.5, abs=1e-6)
    cut = 2 * scipy.stats.norm.sf(0.5 / 0.4)
    assert (np.abs(noise) > 0.5 - 1e-6).mean() == pytest.approx(cut, abs=0.01)
    inside = noise[np.abs(noise) < 0.499]
    assert scipy.stats.kstest(inside, scipy.stats.truncnorm(-1.2475, 1.2475, scale=0.4).cdf).pvalue > 1e-4
    with torch.no_grad():
        agent.target_actor.action[-2].bias.fill_(10.0)  # an actor at the end of the box
    agent.learn()
    assert seen[1][1].max() == 1.0


@pytest.mark.parametrize("folder", [f for f in (DDPG, "TD3") if f in CONTINUOUS])
@pytest.mark.parametrize(("kind", "memory"), [("ou", 0.85), ("gaussian", 0.0)])
def test_noise_has_the_spread_and_the_memory_it_should(folder, kind, memory):
    agent = make(folder, noise=kind, noise_sigma=0.02)
    middle = agent.act(OBS[0], explore=False)
    half = (HIGH - LOW) / 2
    x = np.array([(agent.act(OBS[0]) - middle) / half for _ in range(20_000)])
    np.testing.assert_allclose(x.std(axis=0), 0.02 / math.sqrt(1 - memory**2), rtol=0.06)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.003)
    for lag in (1, 2, 5):
        for i in range(2):
            assert np.corrcoef(x[:-lag, i], x[lag:, i])[0, 1] == pytest.approx(memory**lag, abs=0.04)
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.08, "each number of an action has noise of its own"
    agent.noise.x = torch.full((2,), 10.0)
    agent.noise.reset()
    assert (np.abs(agent.act(OBS[0]) - middle) / half < 0.1).all()


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_an_asymmetric_box_is_used_to_its_ends_and_never_left(folder):
    agent = make(folder, **({} if folder == "SAC" else {"noise_sigma": 5.0}))
    last = agent.actor.gaussian[-1] if folder == "SAC" else agent.actor.action[-2]
    many = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32) * 10
    for bias, end in ((-50.0, LOW), (50.0, HIGH)):
        with torch.no_grad():
            last.bias[:2] = bias
        action = agent.act(many, explore=False)
        np.testing.assert_array_equal(action, np.broadcast_to(end, action.shape))
        assert action.dtype == np.float32
    with torch.no_grad():
        last.bias[:2] = 0.0
        if folder == "SAC":
            last.bias[2:] = 2.0
    action = agent.act(many)
    assert (action >= LOW).all()
    assert (action <= HIGH).all()
    for i in range(2):
        assert np.isclose(action[:, i], LOW[i], atol=0.01).mean() > 0.05
        assert np.isclose(action[:, i], HIGH[i], atol=0.01).mean() > 0.05


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_acting_alone_and_in_a_batch(folder):
    agent = make(folder)
    batch = agent.act(OBS, explore=False)
    assert batch.shape == (3, 2)
    for obs, action in zip(OBS, batch, strict=True):
        np.testing.assert_allclose(agent.act(obs, explore=False), action, rtol=1e-5)
        by_hand = policy_by_hand(folder, agent.actor, obs, torch.zeros(2))[0]
        expected = [low + (a.item() + 1) / 2 * (high - low) for a, low, high in zip(by_hand, LOW, HIGH, strict=True)]
        np.testing.assert_allclose(action, expected, rtol=1e-4)
    assert not np.array_equal(agent.act(OBS[0]), agent.act(OBS[0])), "it explores"
    assert agent.act(OBS[0].astype(np.float64)).dtype == np.float32


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_a_time_limit_ends_the_episode_and_not_the_bootstrap(folder, tmp_path):
    agent = train(load(folder), tmp_path, 450)
    rows = agent.replay.transitions[:450]
    assert not rows["terminated"].any(), "Pendulum never terminates: its time is up after 200 steps"
    joined = (rows["next_obs"][:-1] == rows["obs"][1:]).all(axis=1)
    assert set(np.flatnonzero(~joined)) == {199, 399}, "no transition joins two episodes"
    assert scipy.stats.kstest(rows["action"][:, 0], scipy.stats.uniform(-2, 4).cdf).pvalue > 1e-4, "random at first"


@pytest.mark.parametrize("folder", CONTINUOUS)
def test_main_mujoco_is_main_with_other_settings(folder, tmp_path):
    rooms = load(folder)
    source = (lineage.ROOT / folder / "main_mujoco.py").read_text()
    names = set(re.findall(r"main\.([A-Z][A-Z_]+)", source))
    settings = {name for name in vars(rooms.main) if name.isupper()}
    assert names == settings - {"SEED"}
    pytest.importorskip("mujoco")
    with importable(folder, rooms):
        exec(compile(source, "main_mujoco.py", "exec"), {"__name__": "main_mujoco"})
    rooms.main.LEARNING_STARTS = 1020
    agent = train(rooms, tmp_path, 1050)  # one episode and more
    assert agent.act(np.zeros(17)).shape == (6,)
    assert rooms.main.make_env().unwrapped.camera_name == "track", "films follow the robot"
    assert not agent.replay.transitions["terminated"].any()


# SAC: the squashed Gaussian and the temperature


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.3), (-1.5, 0.7), (0.3, 2.5), (0.0, 0.05)])
def test_log_probability_is_a_density_over_the_box(mean, std):
    u = torch.linspace(mean - 9 * std, mean + 9 * std, 200_001, dtype=torch.float64).clamp(-17, 17)[:, None]
    density = log_prob()((u - mean) / std, torch.full_like(u, math.log(std)), u).exp().numpy()
    action = u.tanh()[:, 0].numpy()
    assert np.trapezoid(density, action) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(np.trapezoid(density * action, action), (gauss(mean, std)), atol=1e-3)


def gauss(mean, std):
    """E[tanh(u)] by quadrature over u."""
    x, weight = np.polynomial.hermite_e.hermegauss(200)
    return float((weight * np.tanh(mean + std * x)).sum() / weight.sum())


def log_prob():
    return load("SAC").model.log_prob


def test_log_probability_against_torch_distributions(rng):
    mean, log_std, noise = (torch.tensor(rng.normal(size=(50, 3)), requires_grad=True) for _ in range(3))
    u = mean + log_std.exp() * noise
    ours = log_prob()(noise, log_std, u)
    theirs = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform(cache_size=1))
    action = theirs.transforms[0](u)
    expected = theirs.log_prob(action).sum(-1)
    torch.testing.assert_close(ours, expected)
    gradients = [torch.autograd.grad(x.sum(), (mean, log_std), retain_graph=True) for x in (ours, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("u", [-20.0, 20.0])
def test_log_probability_is_stable_far_out(u):
    mean = torch.tensor([u], requires_grad=True)
    result = log_prob()(torch.zeros(1), torch.zeros(1), mean)
    exact = -0.5 * math.log(2 * math.pi) + 2 * abs(u) - 2 * math.log(2)  # 1 - tanh²u = 4 exp(-2|u|), nearly
    assert result.item() == pytest.approx(exact, rel=1e-6)
    result.backward()
    assert mean.grad.item() == pytest.approx(2 * math.copysign(1, u), rel=1e-5)
    assert torch.isinf(torch.log(1 - torch.tensor(u).tanh() ** 2)), "the plain form fails here"


def test_the_policy_has_bounded_spread():
    agent = make("SAC")
    with torch.no_grad():
        for bias, noise in ((1e4, 1.0), (-1e4, 1.0)):
            agent.actor.gaussian[-1].bias[2:] = bias
            action, log_probs = agent.actor(torch.tensor(OBS), torch.full((3, 2), noise))
            assert action.isfinite().all()
            assert log_probs.isfinite().all()


@pytest.mark.parametrize(("log_std", "direction"), [(-4.0, 1), (-0.2, -1)])
def test_the_temperature_moves_the_entropy_towards_its_target(log_std, direction, monkeypatch):
    """A policy of too little entropy makes α rise, one of too much makes it fall."""
    agent = prepared("SAC", monkeypatch)
    monkeypatch.undo()
    assert agent.target_entropy == -2
    with torch.no_grad():
        agent.actor.gaussian[-1].weight.zero_()
        agent.actor.gaussian[-1].bias[:2], agent.actor.gaussian[-1].bias[2:] = 0.0, log_std
    batch = agent.replay.batch(np.zeros(500, int))
    before = agent.temperature().item()
    drawn = agent.learn_actor(batch)
    assert np.sign(agent.target_entropy - drawn["policy/entropy"]) == direction
    assert np.sign(agent.temperature().item() - before) == direction
    assert drawn["policy/alpha"] == agent.temperature().item()


def test_a_higher_temperature_leads_to_more_entropy():
    entropies = []
    for log_alpha in (-5.0, 2.0):
        agent = make("SAC", batch_size=64, capacity=64)
        for i in range(64):
            agent.replay.add(OBS[i % 3], ACTION[i % 3], 0.0, NEXT[i % 3], True)
        for _ in range(200):
            with torch.no_grad():
                agent.temperature.log_alpha.fill_(log_alpha)
            drawn = agent.learn()
        entropies.append(drawn["policy/entropy"])
    assert entropies[1] > entropies[0]
    assert entropies[1] > 2 * math.log(2) - 0.3, "with nothing else to gain nearly uniform over [-1, 1]²"
