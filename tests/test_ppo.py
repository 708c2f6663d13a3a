"""PPO and its children: the clipped objective in all its cases, minibatches, both kinds of actions, tiny tasks."""

import copy
import re

import changed
import gymnasium as gym
import lineage
import numpy as np
import probes
import pytest
import torch
from folders import importable, load, start_run, train

SETTINGS = {
    "hidden": 4, "log_std": 0.0, "learning_rate": 1e-3, "learning_steps": 10**9, "gamma": 0.9, "gae_lambda": 0.8,
    "clip": 0.2, "entropy_coef": 0.3, "max_grad_norm": 1e9, "n_epochs": 1, "minibatch_size": 12, "n_steps": 4,
    "n_envs": 3, "seed": 0,
}  # fmt: skip
BOX = (np.array([-1.0, 0.0], np.float32), np.array([1.0, 6.0], np.float32))


def make(actions, folder="PPO", **changed):
    return load(folder).agent.Agent(5, actions, **{**SETTINGS, **changed})


def play(agent, rng, n_envs=3):
    """A rollout of random observations and rewards, with ends of both kinds inside."""
    for t in range(4):
        obs, next_obs = rng.normal(size=(2, n_envs, 5)).astype(np.float32)
        terminated, truncated = (t == 1) * np.eye(n_envs)[0], (t == 2) * np.eye(n_envs)[1]
        agent.rollout.add(obs, agent.act(obs), rng.normal(size=n_envs), next_obs, terminated, terminated + truncated)


@pytest.mark.parametrize(
    ("ratio", "advantage", "counts"),
    [(1.5, 1, False), (1.1, 1, True), (0.5, 1, True), (0.5, -1, False), (0.9, -1, True), (1.5, -1, True)],
)
def test_the_clip_stops_gains_and_not_losses(ratio, advantage, counts):
    """Of two samples one has its ratio; the gradient of its log-probability is -A · ratio / 2, or 0 beyond the clip."""
    agent = make(3, entropy_coef=0.0)
    obs, action = torch.tensor(np.eye(5, dtype=np.float32)[:2]), torch.tensor([0, 2])
    with torch.no_grad():
        now = agent.actor(obs).log_prob(action)
    actor = copy.deepcopy(agent.actor)
    log_prob = actor(obs).log_prob(action)
    (-(advantage * ratio * counts * log_prob[0] - 0.7 * log_prob[1]) / 2).backward()
    old_log_prob = now - torch.log(torch.tensor([ratio, 1.0]))
    drawn = agent.update(obs, action, old_log_prob, torch.tensor([advantage, -0.7]), torch.zeros(2))
    clipped = min(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    assert drawn["loss/actor"] == pytest.approx(-(clipped - 0.7) / 2, abs=1e-5)
    assert drawn["policy/clip_fraction"] == (abs(ratio - 1) > 0.2) / 2
    assert drawn["policy/kl"] == pytest.approx((ratio - 1 - np.log(ratio)) / 2, abs=1e-5)
    for p, expected in zip(agent.actor.parameters(), actor.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("folder", ["PPO", "DPPO"])
@pytest.mark.parametrize("actions", [3, BOX], ids=["discrete", "box"])
def test_the_first_update_is_that_of_a2c(folder, actions, rng):
    """Before any step the ratio is 1: the gradient is A2C's with normalised advantages."""
    agent = make(actions, folder)
    play(agent, rng)
    actor, critic = copy.deepcopy(agent.actor), copy.deepcopy(agent.critic)
    batch = agent.rollout.steps
    value = critic(torch.tensor(batch.obs))
    after = 0.9 * (1 - torch.tensor(batch.terminated)) * critic(torch.tensor(batch.next_obs))
    delta = (torch.tensor(batch.reward) + after - value).detach().numpy()
    advantage, following = np.zeros((4, 3)), np.zeros(3)
    for t in (3, 2, 1, 0):
        advantage[t] = following = delta[t] + 0.72 * (1 - batch.done[t]) * following
    normalised = torch.tensor((advantage - advantage.mean()) / advantage.std(), dtype=torch.float32)
    policy = actor(torch.tensor(batch.obs))
    if actions == 3:
        chosen = torch.tensor(batch.action).unsqueeze(-1)
        log_prob = torch.log_softmax(policy.logits, -1).gather(-1, chosen).squeeze(-1)
        probs = torch.softmax(policy.logits, -1)
        entropy = -(probs * probs.log()).sum(-1).mean()
    else:
        std, mean = torch.tensor([1.0, 3.0]) * actor.log_std.exp(), policy.mean
        density = torch.exp(-((torch.tensor(batch.action) - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi))
        log_prob, entropy = density.log().sum(-1), (0.5 * torch.log(2 * np.pi * np.e * std**2)).sum()
    returns = torch.tensor(advantage, dtype=torch.float32) + value.detach()
    loss = -(normalised * log_prob).mean() + ((returns - value) ** 2).mean() - 0.3 * entropy
    loss.backward()
    drawn = agent.learn()
    assert drawn["policy/entropy"] == pytest.approx(entropy.item(), rel=1e-4)
    assert drawn["policy/kl"] == pytest.approx(0, abs=1e-6)
    assert drawn["policy/clip_fraction"] == 0
    expected = 1 - np.var(returns.numpy() - value.detach().numpy()) / np.var(returns.numpy())
    assert drawn["loss/explained_variance"] == pytest.approx(expected, rel=1e-4)
    for p, expected in zip(agent.parameters, [*actor.parameters(), *critic.parameters()], strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("folder", ["PPO", "DPPO", "TRPO"])
def test_the_first_deviation_is_the_setting_in_half_ranges(folder):
    rooms = load(folder)
    agent = rooms.main.make_agent(rooms.main.make_env(), 0)
    std = agent.actor(torch.zeros(8)).stddev
    torch.testing.assert_close(std, torch.full((2,), rooms.main.LOG_STD).exp())
    torch.testing.assert_close(
        rooms.model.Actor(5, BOX, 4, -2.0)(torch.zeros(5)).stddev, torch.tensor([0.1353, 0.4060]), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("folder", ["PPO", "DPPO"])
def test_later_epochs_are_compared_with_the_policy_that_acted(folder, rng):
    agent = make(BOX, folder, n_epochs=30, learning_rate=1e-2)
    play(agent, rng)
    old, batch = copy.deepcopy(agent.actor), agent.rollout.steps
    obs, action = torch.tensor(batch.obs), torch.tensor(batch.action)
    calls, update = [], agent.update
    agent.update = lambda *minibatch: calls.append(minibatch[2].clone()) or update(*minibatch)
    drawn = agent.learn()
    with torch.no_grad():
        expected = old(obs).log_prob(action).flatten().sort().values
    for old_log_prob in calls:
        torch.testing.assert_close(old_log_prob.sort().values, expected)
    assert drawn["policy/kl"] > 0.001


def test_the_gradient_is_clipped(rng):
    agent = make(BOX, max_grad_norm=0.01)
    play(agent, rng)
    agent.learn()
    assert torch.cat([p.grad.flatten() for p in agent.parameters]).norm() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("folder", ["PPO", "DPPO"])
def test_an_epoch_uses_each_step_once(folder, rng, monkeypatch):
    agent, seen = make(3, folder, n_epochs=3, minibatch_size=5), []
    play(agent, rng)
    monkeypatch.setattr(agent, "update", lambda obs, *rest: seen.append(obs) or {})
    check_epochs(agent, seen)


def check_epochs(agent, seen):
    all_obs = agent.rollout.steps.obs.reshape(12, 5).copy()
    agent.learn()
    assert [len(obs) for obs in seen] == [5, 5, 2] * 3
    orders = []
    for epoch in range(3):
        used = torch.cat(seen[3 * epoch : 3 * epoch + 3]).detach().numpy()
        order = [int(np.flatnonzero((all_obs == obs).all(1))[0]) for obs in used]
        assert sorted(order) == list(range(12))
        orders.append(order)
    assert orders[0] != orders[1]


def test_what_belongs_together_stays_together_in_a_minibatch(rng):
    agent = make(BOX, minibatch_size=5)
    play(agent, rng)
    batch, update = agent.rollout.steps, agent.update
    rows = {
        tuple(obs): action for obs, action in zip(batch.obs.reshape(12, 5), batch.action.reshape(12, 2), strict=True)
    }
    reference = copy.deepcopy(agent)
    whole = []
    reference.update = lambda *samples: whole.append(samples) or {}
    reference.minibatch_size = 12
    reference.learn()
    pairs = {tuple(obs.tolist()): (a.item(), r.item()) for obs, _, _, a, r in zip(*whole[0], strict=True)}

    def check(obs, action, old_log_prob, advantage, returns):
        for i, o in enumerate(obs):
            np.testing.assert_array_equal(action[i], rows[tuple(o.numpy())])
            assert (advantage[i].item(), returns[i].item()) == pairs[tuple(o.tolist())]
        return update(obs, action, old_log_prob, advantage, returns)

    agent.update = check
    agent.learn()


def test_gaussian_actions_have_the_mean_and_deviation_of_the_policy():
    agent = make(BOX)
    with torch.no_grad():
        agent.actor.log_std.copy_(torch.tensor([-1.0, 0.5]))
    obs = np.repeat(np.eye(5, dtype=np.float32)[:1], 50_000, axis=0)
    drawn, mean = agent.act(obs), agent.act(obs[0], explore=False)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.06)
    np.testing.assert_allclose(drawn.std(0), np.exp([-1.0, 0.5]) * [1, 3], rtol=0.02)
    with torch.no_grad():
        network = agent.actor.mean(agent.actor.features(torch.tensor(obs[0]))).numpy()
    np.testing.assert_allclose(mean, [0, 3] + np.array([1, 3]) * network, rtol=1e-5)


def test_discrete_actions_are_drawn_as_often_as_the_policy_says():
    agent = make(3)
    with torch.no_grad():
        agent.actor.logits.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    obs = np.repeat(np.eye(5, dtype=np.float32)[:1], 50_000, axis=0)
    shares = np.bincount(agent.act(obs), minlength=3) / 50_000
    np.testing.assert_allclose(shares, agent.actor(torch.tensor(obs[0])).probs.detach(), atol=0.01)
    assert agent.act(obs[0], explore=False) == 1


ANSWERS = {  # task -> what V is at each observation under the best policy, with γ = 0.9
    "constant": {0.0: 1.0},
    "observed": {-1.0: -1.0, 1.0: 1.0},
    "delayed": {-1.0: 0.9, 1.0: 1.0},
    "acted": {0.0: 1.0},
    "both": {-1.0: 1.0, 1.0: 1.0},
}
BEST_ACTIONS = {"acted": {0.0: 1}, "both": {-1.0: 0, 1.0: 1}}


def box(env):
    """The task with numbers from -1 to 1 as actions; those above 0 are action 1."""
    return gym.wrappers.TransformAction(env, lambda a: int(a[0] > 0), gym.spaces.Box(-1.0, 1.0, (1,), np.float32))


@pytest.mark.parametrize(
    ("folder", "kind"), [("PPO", "discrete"), ("PPO", "box"), ("TRPO", "discrete"), ("TRPO", "box"), ("DPPO", "box")]
)
@pytest.mark.parametrize("task", ANSWERS)
def test_probe_environments(folder, task, kind, monkeypatch, tmp_path):
    rooms, steps = load(folder), 14_000
    probe = getattr(probes, task) if kind == "discrete" else lambda: box(getattr(probes, task)())
    monkeypatch.setattr(rooms.main, "make_env", lambda: gym.wrappers.RecordEpisodeStatistics(probe()))
    vars(rooms.main).update(N_STEPS=32, MINIBATCH_SIZE=128, GAMMA=0.9, REWARD_SCALE=0.5)

    def check(agent):
        for obs, value in ANSWERS[task].items():
            assert agent.critic(torch.tensor([obs])).item() == pytest.approx(0.5 * value, abs=0.05)
        for obs, best in BEST_ACTIONS.get(task, {}).items():
            action = agent.act(np.repeat(np.array([[obs]], np.float32), 1000, axis=0))
            assert np.mean((action > 0).reshape(-1) == best) > 0.95
            assert (agent.act(np.array([obs], np.float32), explore=False) > 0) == best

    probes.train(rooms, tmp_path, steps, check)


# robots: main_mujoco.py

ROBOTS = ["PPO", "TRPO", "DPPO"]
SMALL = {"N_ENVS": 3, "N_STEPS": 4, "MINIBATCH_SIZE": 6, "N_EPOCHS": 2, "GAMMA": 0.9, "HIDDEN": 4}


def robot(folder, changes=("", ""), **constants):
    """The folder's rooms as main_mujoco.py leaves them, with these constants, and in one process."""
    rooms, source = load(folder), (lineage.ROOT / folder / "main_mujoco.py").read_text()
    with importable(folder, rooms):
        exec(compile(source.replace(*changes), "main_mujoco.py", "exec"), {"__name__": "main_mujoco"})
    for name, value in constants.items():
        assert hasattr(rooms.main, name)
        setattr(rooms.main, name, value)
    return rooms


def pendulum(folder, **constants):
    """The same on Pendulum, which needs no MuJoCo; an agent for it."""
    rooms = changed.in_one_process(robot(folder, **SMALL | constants))
    rooms.main.ENV_ID = "Pendulum-v1"
    rooms.main.make_env = lambda: rooms.harness.fit(gym.make("Pendulum-v1"), "numbers", "any")
    return rooms, rooms.main.make_agent(rooms.main.make_env(), 0)


@pytest.mark.parametrize("folder", ROBOTS)
def test_main_mujoco_is_main_with_other_settings(folder, tmp_path):
    source = (lineage.ROOT / folder / "main_mujoco.py").read_text()
    names = set(re.findall(r"main\.([A-Z][A-Z_]+)", source))
    assert names == {name for name in vars(load(folder).main) if name.isupper()} - {"SEED"}
    pytest.importorskip("mujoco")
    rooms = changed.in_one_process(robot(folder, N_ENVS=1, EVAL_EVERY=10**6))
    agent = train(rooms, tmp_path, 1050)  # one episode and more
    assert agent.act(np.zeros(17)).shape == (6,)
    assert (agent.sums[0] > 1000).all(), "it is the agent with statistics"
    assert rooms.main.make_env().unwrapped.camera_name == "track", "films follow the robot"
    assert agent.actor.log_std.detach().numpy() == pytest.approx(rooms.main.LOG_STD, abs=0.2)
    assert rooms.checkpoint.load(tmp_path)["settings"]["LOG_STD"] == rooms.main.LOG_STD


@pytest.mark.parametrize("folder", ROBOTS)
def test_all_that_is_learned_from_has_the_scale_of_the_steps_before(folder, rng, monkeypatch):
    """And the scale is then that of all steps so far, by NumPy's mean and deviation of all that was seen."""
    agent, seen, returns, so_far = pendulum(folder)[1], [], [], np.zeros(3)
    mean, std = np.zeros(4), np.ones(4)
    for _ in range(3):
        raw = [rng.normal(size=(2, 3, 3)) * [0.1, 1, 300] + [7, 0, -50] for _ in range(4)]
        for t, (obs, next_obs) in enumerate(raw):
            reward, done = rng.normal(5, 2, size=3), (t == 1) * np.eye(3)[0]
            agent.rollout.add(obs, rng.normal(size=(3, 1)), reward, next_obs, done, done)
            so_far = 0.9 * so_far + reward
            seen.append(obs)
            returns.append(so_far)
            so_far = so_far * (1 - done)
        reward, take, taken = agent.rollout.steps.reward.copy(), agent.rollout.take, []
        with monkeypatch.context() as patch:
            patch.setattr(agent.rollout, "take", lambda take=take, taken=taken: taken.append(take()) or taken[0])
            agent.learn()
        close = {"rtol": 1e-3, "atol": 1e-3}
        for found, which in ((taken[0].obs, 0), (taken[0].next_obs, 1)):
            scaled = (np.array([pair[which] for pair in raw]) - mean[:3]) / std[:3]
            np.testing.assert_allclose(found, scaled.clip(-10, 10), **close)
        np.testing.assert_allclose(taken[0].reward, reward / std[3], **close)
        everything = np.concatenate([np.concatenate(seen), np.concatenate(returns)[:, None]], axis=1)
        mean, std = everything.mean(axis=0), everything.std(axis=0)
        np.testing.assert_allclose(agent.statistics(), (mean, std), rtol=1e-3, atol=1e-3)
        obs = rng.normal(size=(5, 3)) * [0.1, 1, 1000] + [7, 0, -50]
        scaled = ((obs - mean[:3]) / std[:3]).clip(-10, 10)
        expected = super(type(agent), agent).act(scaled, explore=False)
        np.testing.assert_allclose(agent.act(obs, explore=False), expected, **close)


@pytest.mark.parametrize("folder", ROBOTS)
def test_statistics_stand_still_but_for_learning(folder, rng):
    rooms, agent = pendulum(folder)
    agent.sums = rng.uniform(1, 2, agent.sums.shape) * [[10], [1], [10]]
    before = agent.sums.copy()
    rooms.main.evaluate(agent, 2, 0)
    agent.act(rng.normal(size=(5, 3)))
    assert np.array_equal(agent.sums, before)
    assert not agent.returns.any()


@pytest.mark.parametrize("folder", ROBOTS)
def test_statistics_are_saved_and_the_best_agent_has_its_own(folder, tmp_path):
    rooms, _ = pendulum(folder, EVAL_EVERY=24)
    found = []
    rooms.main.evaluate = lambda agent, *_: found.append(agent.sums.copy()) or -np.full(2, float(len(found)))
    run = start_run(rooms, tmp_path, 96)
    agent = rooms.main.train(run, 0, 96)
    best = found[0]  # by what is said to be its score
    counts = [sums[0, 0].round() for sums in found]
    assert counts == [24, 48, 72, 96], "after so many steps"
    kept = rooms.checkpoint.load(tmp_path)
    assert np.array_equal(kept["best"]["sums"], best)
    assert np.array_equal(kept["agent"]["sums"], agent.sums)
    run.finish()
    assert np.array_equal(found[-1], best), "what is scored at the end is the best agent"
    run.lock.release()
    resumed = start_run(rooms, tmp_path, 120, resume=True)
    again = resumed.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    assert np.array_equal(again.sums, agent.sums)
    assert not np.array_equal(again.sums, best)
    again.sums[:] = 0
    assert resumed.kept["best"]["sums"].any()
    with pytest.raises(ValueError, match="broadcast"):
        again.load_state_dict(again.state_dict() | {"sums": np.ones((3, 9))})
    resumed.lock.release()
