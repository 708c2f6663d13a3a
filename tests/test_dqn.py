"""DQN, dueling DQN and DQN with prioritised replay: targets, losses and networks by hand."""

import copy

import numpy as np
import pytest
import torch
from folders import Q_NETWORKS, load

SETTINGS = {
    "hidden": 8, "learning_rate": 1e-3, "learning_steps": 100, "gamma": 0.9, "batch_size": 3, "capacity": 3,
    "tau": 0.25, "huber_delta": 2.0, "double_q": True, "seed": 0,
    "epsilon_start": 1.0, "epsilon_end": 0.1, "epsilon_steps": 1000,
}  # fmt: skip
PRIORITIES = {"per_alpha": 0.6, "per_beta": 0.4}


def make(folder, **changed):
    extra = PRIORITIES if folder == "DQNwithPER" else {}
    return load(folder).agent.Agent(2, 3, **{**SETTINGS, **extra, **changed})


OBS = np.array([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]], np.float32)
NEXT = np.array([[0.7, 0.1], [0.2, -0.9], [0.3, 0.3]], np.float32)
ACTION, REWARD = [0, 2, 1], [5.0, -2.0, 0.5]
TERMINATED = [True, False, False]  # an end, an ordinary step, and a step at which only the time was up


def targets_by_hand(agent, double_q):
    """One transition at a time, with plain loops."""
    result = []
    for reward, next_obs, terminated in zip(REWARD, NEXT, TERMINATED, strict=True):
        online = agent.q_net(torch.tensor(next_obs)).tolist()
        target = agent.target_net(torch.tensor(next_obs)).tolist()
        best = max(range(3), key=lambda a: (online if double_q else target)[a])
        result.append(reward if terminated else reward + 0.9 * target[best])
    return np.array(result)


def prepared(folder, double_q):
    agent = make(folder, double_q=double_q)
    with torch.no_grad():
        for p in agent.target_net.parameters():
            p.mul_(-1)
    for transition in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        agent.replay.add(*transition)
    return agent


def fixed_sample(agent, monkeypatch):
    """Every transition once, in order, so that the update can be repeated by hand."""
    index = np.arange(3)
    if hasattr(agent.replay, "sample_prioritized"):
        weight = torch.tensor([1.0, 0.5, 0.25])
        monkeypatch.setattr(agent.replay, "sample_prioritized", lambda n: (agent.replay.batch(index), index, weight))
        return weight.numpy()
    monkeypatch.setattr(agent.replay, "sample", lambda n: agent.replay.batch(index))
    return np.ones(3)


@pytest.mark.parametrize("folder", Q_NETWORKS)
@pytest.mark.parametrize("double_q", [False, True])
def test_targets_loss_and_gradient_by_hand(folder, double_q, monkeypatch):
    agent = prepared(folder, double_q)
    weight = fixed_sample(agent, monkeypatch)
    chosen = [
        agent.q_net(torch.tensor(NEXT)).argmax(1).tolist(),
        agent.target_net(torch.tensor(NEXT)).argmax(1).tolist(),
    ]
    assert chosen[0] != chosen[1], "the case must tell DQN from Double DQN"
    y = targets_by_hand(agent, double_q)
    reference = copy.deepcopy(agent.q_net)
    q = torch.stack([reference(torch.tensor(o))[a] for o, a in zip(OBS, ACTION, strict=True)])
    error = q - torch.tensor(y, dtype=torch.float32)
    assert (error.abs() < 2).any()
    assert (error.abs() > 2).any(), "the case must show both sides of the Huber loss"
    huber = torch.where(error.abs() < 2, 0.5 * error**2, 2 * (error.abs() - 1))
    loss = (torch.tensor(weight, dtype=torch.float32) * huber).mean()
    loss.backward()
    drawn = agent.learn()
    assert drawn["loss/q"] == pytest.approx(loss.item(), rel=1e-5)
    assert drawn["policy/mean_q"] == pytest.approx(q.mean().item(), rel=1e-5)
    for p, expected in zip(agent.q_net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in agent.target_net.parameters())
    if folder == "DQNwithPER":
        np.testing.assert_allclose(agent.replay.priorities.leaves[:3], (error.abs().detach() + 1e-6) ** 0.6, rtol=1e-4)


@pytest.mark.parametrize("folder", Q_NETWORKS)
def test_one_update_is_one_step_of_adam_downhill(folder, monkeypatch):
    """Adam's first step moves each weight by the learning rate against the sign of its gradient."""
    agent = prepared(folder, True)
    fixed_sample(agent, monkeypatch)
    before = [p.detach().clone() for p in agent.q_net.parameters()]
    agent.learn()
    for old, p in zip(before, agent.q_net.parameters(), strict=True):
        large = p.grad.abs() > 1e-4
        torch.testing.assert_close((p - old)[large], (-1e-3 * p.grad.sign())[large], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("folder", Q_NETWORKS)
def test_target_network_moves_by_tau_in_an_update_and_not_between(folder, monkeypatch):
    agent = prepared(folder, True)
    before = [p.clone() for p in agent.target_net.parameters()]
    agent.act(OBS)
    agent.replay.add(OBS[0], 0, 0.0, NEXT[0], False)
    for old, p in zip(before, agent.target_net.parameters(), strict=True):
        assert torch.equal(old, p)
    agent.learn()
    for old, p, online in zip(before, agent.target_net.parameters(), agent.q_net.parameters(), strict=True):
        torch.testing.assert_close(p, 0.75 * old + 0.25 * online.detach())


@pytest.mark.parametrize("folder", Q_NETWORKS)
def test_schedules(folder):
    agent = prepared(folder, True)
    assert agent.epsilon == 1.0
    agent.act(np.zeros((500, 2), np.float32))
    assert agent.epsilon == pytest.approx(0.55)
    agent.act(OBS, explore=False)
    assert agent.epsilon == pytest.approx(0.55), "judging is not exploring"
    agent.act(np.zeros((900, 2), np.float32))
    assert agent.epsilon == pytest.approx(0.1)
    for i in range(110):
        agent.learn()
        assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * max(0, 1 - i / 100), abs=1e-9)


@pytest.mark.parametrize("folder", Q_NETWORKS)
def test_acting(folder):
    agent = make(folder, epsilon_start=0.3, epsilon_end=0.3)
    q = agent.q_net(torch.tensor(OBS))
    assert agent.act(OBS, explore=False).tolist() == q.argmax(1).tolist()
    assert [int(agent.act(obs, explore=False)) for obs in OBS] == q.argmax(1).tolist()
    many = np.repeat(OBS[:1], 20_000, axis=0)
    counts = np.bincount(agent.act(many), minlength=3) / 20_000
    expected = np.full(3, 0.1)
    expected[int(q[0].argmax())] += 0.7
    np.testing.assert_allclose(counts, expected, atol=0.015)


def test_dueling_is_v_plus_a_minus_mean_a():
    net = load("DuelingDQN").model.QNetwork(2, 3, 8)
    obs = torch.tensor(OBS)
    features = net.features(obs)
    v, a = net.value(features), net.advantage(features)
    expected = [[(v[i, 0] + a[i, j] - sum(a[i]) / 3).item() for j in range(3)] for i in range(3)]
    torch.testing.assert_close(net(obs), torch.tensor(expected))
    torch.testing.assert_close(net(obs).mean(1, keepdim=True), v)  # V is identified: the mean of Q
    before = net(obs)
    with torch.no_grad():
        net.advantage.bias += 7.0
    torch.testing.assert_close(net(obs), before)
    torch.testing.assert_close(net.value(net.features(obs)), v)
    torch.testing.assert_close(net(obs[0]), before[0])  # one observation alone
