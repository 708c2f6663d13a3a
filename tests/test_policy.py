"""REINFORCE, actor-critic and A2C: returns, advantages, losses and gradients by hand and against exact answers."""

import copy
import itertools

import gymnasium as gym
import numpy as np
import probes
import pytest
import torch
from folders import load, start_run

POLICIES = ["PolicyGradient(PG)", "ActorCritic", "A2C"]
SETTINGS = {"hidden": 3, "learning_rate": 1e-3, "learning_steps": 100, "gamma": 1.0, "seed": 0}
A2C = {**SETTINGS, "gae_lambda": 1.0, "entropy_coef": 0.0, "max_grad_norm": 1e9}


def make(folder, steps, envs=1, **changed):
    settings, size = SETTINGS, {"capacity": steps * envs}
    if folder == "A2C":
        settings, size = A2C, {"n_steps": steps, "n_envs": envs}
    return load(folder).agent.Agent(6, 2, **{**settings, **size, **changed})


def ends(rng, shape):
    """Terminations, and ends of episodes: those and truncations."""
    terminated, truncated = rng.random((2, *shape)) < 0.2
    return terminated.astype(np.float32), (terminated | truncated).astype(np.float32)


def test_returns_to_go_against_the_definition(rng):
    returns_to_go = load("PolicyGradient(PG)").agent.returns_to_go
    reward, (_, done) = rng.normal(size=50), ends(rng, (50,))
    expected = np.zeros(50)
    for t in range(50):
        for k in range(t, 50):
            expected[t] += 0.9 ** (k - t) * reward[k]
            if done[k]:
                break
    np.testing.assert_allclose(returns_to_go(torch.tensor(reward), torch.tensor(done), 0.9), expected, rtol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_gae_against_the_definition(lambda_, rng):
    """A_t is the mean of the n-step advantages, each weighted with (1 - λ) λ^(n-1), the last with what is left."""
    n_steps, n_envs, gamma = 12, 5, 0.9
    reward, value, next_value = rng.normal(size=(3, n_steps, n_envs))
    terminated, done = ends(rng, (n_steps, n_envs))
    next_value[:-1] = np.where(
        done[:-1], next_value[:-1], value[1:]
    )  # of the same observation, unless an episode ended
    expected = np.zeros((n_steps, n_envs))
    for t, env in itertools.product(range(n_steps), range(n_envs)):
        rewards, weight = 0.0, 1.0
        for k in range(t, n_steps):
            rewards += gamma ** (k - t) * reward[k, env]
            bootstrap = 0.0 if terminated[k, env] else gamma ** (k - t + 1) * next_value[k, env]
            last = done[k, env] or k == n_steps - 1
            expected[t, env] += weight * (1.0 if last else 1 - lambda_) * (rewards + bootstrap - value[t, env])
            if last:
                break
            weight *= lambda_
    td_error = reward + gamma * (1 - terminated) * next_value - value
    found = load("A2C").agent.gae(torch.tensor(td_error), torch.tensor(done), gamma * lambda_)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# A small problem of three steps: the state is 0 or 1, the observation tells step and state (one-hot, 6 numbers).


class SmallMDP:
    def __init__(self, rng):
        self.to_one = rng.random((3, 2, 2))  # chance that the next state is 1 [step, state, action]
        self.reward = 5 + rng.normal(size=(3, 2, 2))
        self.obs = np.eye(6, dtype=np.float32).reshape(3, 2, 6)

    def values(self, actor):
        """Exact V [step, state] under the policy; the expected return is V[0, 0]."""
        pi = torch.softmax(actor(torch.tensor(self.obs, dtype=next(actor.parameters()).dtype)), -1).detach().numpy()
        v = np.zeros((4, 2))
        for t in (2, 1, 0):
            q = self.reward[t] + self.to_one[t] * v[t + 1, 1] + (1 - self.to_one[t]) * v[t + 1, 0]
            v[t] = (pi[t] * q).sum(-1)
        return v

    def gradient(self, actor):
        """Of the expected return with respect to each weight of the actor, by central differences."""
        actor, result = copy.deepcopy(actor).double().requires_grad_(False), []
        for parameter in actor.parameters():
            for i in range(parameter.numel()):
                sides = []
                for move in (1e-5, -2e-5):
                    parameter.view(-1)[i] += move
                    sides.append(self.values(actor)[0, 0])
                parameter.view(-1)[i] += 1e-5
                result.append((sides[0] - sides[1]) / 2e-5)
        return np.array(result)

    def play(self, agent, n, rng):
        """n episodes at once: obs, action, reward, next_obs, terminated, each [3, n, ...]."""
        state, steps = np.zeros(n, int), []
        for t in range(3):
            obs = self.obs[t, state]
            action = agent.act(obs)
            next_state = (rng.random(n) < self.to_one[t, state, action]).astype(int)
            next_obs = self.obs[min(t + 1, 2), next_state]
            steps.append((obs, action, self.reward[t, state, action], next_obs, np.full(n, t == 2)))
            state = next_state
        return [np.stack(field) for field in zip(*steps, strict=True)]


def estimate(agent, folder, mdp, n, rng):
    """The gradient of the return, as one update of the agent from n episodes takes it to be."""
    obs, action, reward, next_obs, terminated = mdp.play(agent, n, rng)
    scale = 3.0  # steps of an episode: the loss is a mean over steps
    if folder == "A2C":
        for t in range(3):
            agent.rollout.add(obs[t], action[t], reward[t], next_obs[t], terminated[t], terminated[t])
    else:
        for e, t in itertools.product(range(n), range(3)):
            rest = (next_obs[t, e], terminated[t, e]) if folder == "ActorCritic" else (terminated[t, e],)
            agent.rollout.add(obs[t, e], action[t, e], reward[t, e], *rest)
    if folder == "PolicyGradient(PG)":
        scale *= reward[::-1].cumsum(0).std(ddof=1)
    before = copy.deepcopy(agent.actor.state_dict())
    agent.learn()
    gradient = torch.cat([p.grad.flatten() for p in agent.actor.parameters()]).numpy()
    agent.actor.load_state_dict(before)
    return -gradient * scale


@pytest.mark.parametrize(("folder", "lambda_"), [*((folder, 1.0) for folder in POLICIES), ("A2C", 0.5)])
def test_the_gradient_is_that_of_the_exact_expected_return(folder, lambda_, rng):
    n, mdp = 400, SmallMDP(rng)
    agent = make(folder, 3 if folder == "A2C" else 3 * n, n if folder == "A2C" else 1)
    if folder == "A2C":
        agent.gae_lambda = lambda_
    with torch.no_grad():
        agent.actor.logits.weight.mul_(3)  # preferences that differ
    exact, v = mdp.gradient(agent.actor), mdp.values(agent.actor)
    agent.critic = lambda obs: (obs.double() @ torch.tensor(v[:3].reshape(6))).float()  # a critic that is right
    estimates = np.stack([estimate(agent, folder, mdp, n, rng) for _ in range(60)])
    error = estimates.std(0, ddof=1) / np.sqrt(60)
    assert np.abs(exact).max() > 10 * error.max(), "the case must tell a wrong gradient from a right one"
    assert (np.abs(estimates.mean(0) - exact) < 4.5 * error + 1e-4).all()


def test_a_baseline_leaves_the_mean_and_lowers_the_variance(rng):
    n, mdp = 400, SmallMDP(rng)
    agent = make("PolicyGradient(PG)", 3 * n)
    exact, without = mdp.gradient(agent.actor), []
    for _ in range(60):
        obs, action, reward, _, _ = mdp.play(agent, n, rng)
        returns = torch.tensor(reward[::-1].cumsum(0)[::-1].copy())
        log_probs = torch.log_softmax(agent.actor(torch.tensor(obs)), -1)
        log_prob = log_probs.gather(-1, torch.tensor(action).unsqueeze(-1)).squeeze(-1)
        agent.optimizer.zero_grad()
        (returns * log_prob).sum(0).mean().backward()
        without.append(torch.cat([p.grad.flatten() for p in agent.actor.parameters()]).numpy())
    without = np.stack(without)
    with_baseline = np.stack([estimate(agent, "PolicyGradient(PG)", mdp, n, rng) for _ in range(60)])
    for estimates in (without, with_baseline):
        assert (np.abs(estimates.mean(0) - exact) < 4.5 * estimates.std(0, ddof=1) / np.sqrt(60) + 1e-4).all()
    assert with_baseline.var(0).sum() < 0.5 * without.var(0).sum()


# One update by hand. Three steps: an end, an ordinary step, and a step at which only the time was up.
OBS = np.eye(6, dtype=np.float32)[:3] + 0.1
NEXT = np.eye(6, dtype=np.float32)[3:] - 0.2
ACTION, REWARD, TERMINATED, DONE = [0, 1, 1], [5.0, -2.0, 0.5], [1, 0, 0], [1, 0, 1]


def test_actor_critic_by_hand():
    """Targets, both losses, all gradients; the critic learns nothing from the actor, nor the actor from the critic."""
    agent = make("ActorCritic", 3, gamma=0.9)
    actor, critic = copy.deepcopy(agent.actor), copy.deepcopy(agent.critic)
    for step in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        agent.rollout.add(*step)
    actor_loss = critic_loss = entropy = 0.0
    for obs, action, reward, next_obs, terminated in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        target = reward + (0.0 if terminated else 0.9 * critic(torch.tensor(next_obs)).item())
        error = target - critic(torch.tensor(obs))
        probs = torch.softmax(actor(torch.tensor(obs)), -1)
        actor_loss -= error.item() * torch.log(probs[action]) / 3
        critic_loss += error**2 / 3
        entropy -= sum((p * torch.log(p)).item() for p in probs) / 3
    actor_loss.backward()
    critic_loss.backward()
    drawn = agent.learn()
    assert drawn["loss/actor"] == pytest.approx(actor_loss.item(), rel=1e-5)
    assert drawn["loss/critic"] == pytest.approx(critic_loss.item(), rel=1e-5)
    assert drawn["policy/entropy"] == pytest.approx(entropy, rel=1e-5)
    for ours, theirs in ((agent.actor, actor), (agent.critic, critic)):
        for p, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(p.grad, expected.grad, rtol=1e-4, atol=1e-6)
            large = p.grad.abs() > 1e-4  # Adam's first step: the learning rate against the gradient's sign
            torch.testing.assert_close((p - expected)[large], (-1e-3 * p.grad.sign())[large], rtol=1e-2, atol=1e-6)
    assert len(agent.rollout) == 0


@pytest.mark.parametrize("max_grad_norm", [1e9, 0.1])
def test_a2c_by_hand(max_grad_norm):
    agent = make("A2C", 3, gamma=0.9, gae_lambda=0.8, entropy_coef=0.3, max_grad_norm=max_grad_norm)
    actor, critic = copy.deepcopy(agent.actor), copy.deepcopy(agent.critic)
    delta = []
    for step in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, DONE, strict=True):
        agent.rollout.add(*step)
        obs, _, reward, next_obs, terminated, _ = step
        after = 0.0 if terminated else 0.9 * critic(torch.tensor(next_obs)).item()
        delta.append(reward + after - critic(torch.tensor(obs)).item())
    advantage = [delta[0], delta[1] + 0.72 * delta[2], delta[2]]
    loss = 0.0
    for obs, action, a in zip(OBS, ACTION, advantage, strict=True):
        value, probs = critic(torch.tensor(obs)), torch.softmax(actor(torch.tensor(obs)), -1)
        loss = loss - a * torch.log(probs[action]) / 3 + (a + value.item() - value) ** 2 / 3
        loss = loss + 0.3 * (probs * torch.log(probs)).sum() / 3
    loss.backward()
    parameters = [*actor.parameters(), *critic.parameters()]
    norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters)).item()
    assert norm > 0.1
    agent.learn()
    for p, expected in zip(agent.parameters, parameters, strict=True):
        wanted = expected.grad * min(1.0, max_grad_norm / norm)
        torch.testing.assert_close(p.grad, wanted, rtol=1e-4, atol=1e-6)


def test_reinforce_by_hand():
    agent = make("PolicyGradient(PG)", 3, gamma=0.9)
    actor = copy.deepcopy(agent.actor)
    for obs, action, reward, done in zip(OBS, ACTION, REWARD, DONE, strict=True):
        agent.rollout.add(obs, action, reward, done)
    returns = np.array([5.0, -2.0 + 0.9 * 0.5, 0.5])
    advantage = (returns - returns.mean()) / (returns.std(ddof=1) + 1e-8)
    log_probs = torch.log_softmax(actor(torch.tensor(OBS)), -1)
    loss = -sum(a * log_probs[i, action] for i, (a, action) in enumerate(zip(advantage, ACTION, strict=True))) / 3
    loss.backward()
    assert agent.learn()["loss/actor"] == pytest.approx(loss.item(), rel=1e-5)
    for p, expected in zip(agent.actor.parameters(), actor.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("folder", POLICIES)
def test_acting_draws_from_the_policy(folder):
    agent = make(folder, 3)
    obs = np.repeat(OBS[:1], 40_000, axis=0)
    logits = agent.actor(torch.tensor(OBS))
    np.testing.assert_allclose(agent.act(obs).mean(), torch.softmax(logits[0], -1)[1].item(), atol=0.01)
    assert agent.act(OBS, explore=False).tolist() == logits.argmax(1).tolist()
    assert [int(agent.act(o, explore=False)) for o in OBS] == logits.argmax(1).tolist()


@pytest.mark.parametrize("folder", POLICIES)
def test_the_learning_rate_falls_to_zero(folder):
    agent = make(folder, 3)
    rest = {"PolicyGradient(PG)": (DONE,), "ActorCritic": (NEXT, TERMINATED), "A2C": (NEXT, TERMINATED, DONE)}[folder]
    for i in range(110):
        for step in zip(OBS, ACTION, REWARD, *rest, strict=True):
            agent.rollout.add(*step)
        agent.learn()
        assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * max(0, 1 - i / 100), abs=1e-9)


def test_an_ended_episode_is_not_joined_to_the_next(monkeypatch, tmp_path):
    """In the rollout next_obs is where the step led to, also where the environment has already begun anew."""

    class Counting(gym.Env):
        """Counts its steps. Even episodes are terminated after 3 of them, odd ones cut off."""

        observation_space, action_space = gym.spaces.Box(-9, 9, (1,), np.float32), gym.spaces.Discrete(2)
        episode = -1

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.episode, self.t = self.episode + 1, 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.t += 1
            end = self.t == 3
            return np.full(1, self.t, np.float32), 1.0, end and self.episode % 2 == 0, end and self.episode % 2 == 1, {}

    rooms, batches = load("A2C"), []
    monkeypatch.setattr(rooms.main, "make_env", lambda: gym.wrappers.RecordEpisodeStatistics(Counting()))
    take = rooms.replay.Rollout.take

    def watched(rollout):
        batch = take(rollout)
        batches.append([field.clone() for field in batch])
        return batch

    monkeypatch.setattr(rooms.replay.Rollout, "take", watched)
    steps = 6 * rooms.main.N_STEPS * rooms.main.N_ENVS
    rooms.main.train(start_run(rooms, tmp_path, steps), 0, steps)
    obs, _, _, next_obs, terminated, done = (torch.cat(field) for field in zip(*batches, strict=True))
    torch.testing.assert_close(next_obs, obs + 1)
    assert (done == (next_obs.squeeze(-1) == 3)).all()
    ended = terminated[done == 1].view(-1, rooms.main.N_ENVS)
    assert (ended[0::2] == 1).all()
    assert (ended[1::2] == 0).all()


ANSWERS = {  # task -> what V is at each observation under the best policy
    "constant": {0.0: 1.0},
    "observed": {-1.0: -1.0, 1.0: 1.0},
    "delayed": {-1.0: 0.99, 1.0: 1.0},
    "acted": {0.0: 1.0},
    "both": {-1.0: 1.0, 1.0: 1.0},
}
BEST_ACTIONS = {"acted": {0.0: 1}, "both": {-1.0: 0, 1.0: 1}}


@pytest.mark.parametrize("folder", POLICIES)
@pytest.mark.parametrize("task", ANSWERS)
def test_probe_environments(folder, task, monkeypatch, tmp_path):
    rooms = load(folder)
    assert rooms.main.GAMMA == 0.99
    probe = getattr(probes, task)
    monkeypatch.setattr(rooms.main, "make_env", lambda: gym.wrappers.RecordEpisodeStatistics(probe()))
    steps = {"PolicyGradient(PG)": 15_000, "ActorCritic": 10_000, "A2C": 24_000}[folder]

    def check(agent):
        for obs, value in ANSWERS[task].items():
            obs = np.array([obs], np.float32)
            if folder != "PolicyGradient(PG)":
                assert agent.critic(torch.tensor(obs)).item() == pytest.approx(value, abs=0.05)
        for obs, action in BEST_ACTIONS.get(task, {}).items():
            probabilities = torch.softmax(agent.actor(torch.tensor([obs])), -1)
            assert probabilities[action] > 0.95
            assert agent.act(np.array([obs], np.float32), explore=False) == action

    probes.train(rooms, tmp_path, steps, check)
