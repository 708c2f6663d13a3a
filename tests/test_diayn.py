"""DIAYN: the reward that a discriminator makes, skills, the point world."""

import copy
import math
import re

import gymnasium as gym
import lineage
import numpy as np
import probes
import pytest
import scipy.stats
import torch
from folders import importable, load, train
from gymnasium.utils.env_checker import check_env
from test_ddpg import actor_loss_by_hand, adam, forward, policy_by_hand, values_by_hand

pytestmark = pytest.mark.skipif("DIAYN" not in lineage.FOLDERS, reason="not there yet")
SETTINGS = {
    "hidden": 8, "actor_learning_rate": 1e-3, "critic_learning_rate": 2e-3, "gamma": 0.9, "tau": 0.25,
    "batch_size": 3, "capacity": 3, "alpha": 0.3, "n_skills": 3, "seed": 5,
}  # fmt: skip
LOW, HIGH = np.array([-3.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32)
STATE = np.array([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]], np.float32)
NEXT_STATE = np.array([[0.7, 0.1], [0.2, -0.9], [0.3, 0.3]], np.float32)
SKILL = [2, 0, 1]
OBS, NEXT = (np.hstack([state, np.eye(3, dtype=np.float32)[SKILL]]) for state in (STATE, NEXT_STATE))
ACTION = np.array([[-3.0, 1.5], [0.5, 1.2], [-1.0, 2.0]], np.float32)
UNIT = [[-1.0, 0.0], [0.75, -0.6], [0.0, 1.0]]  # the same between -1 and 1
TERMINATED = [True, False, False]  # an end, an ordinary step, and a step at which only the time was up
EPSILON = torch.tensor([[0.3, -0.9], [2.0, 0.1], [-0.4, -1.6]])


def make(**changed):
    return load("DIAYN").agent.Agent(5, LOW, HIGH, **{**SETTINGS, **changed})


def prepared(monkeypatch, **changed):
    """An agent whose targets differ from its networks, and whose next batch and noise are known."""
    agent = make(**changed)
    for obs, action, next_obs, terminated in zip(OBS, ACTION, NEXT, TERMINATED, strict=True):
        agent.replay.add(obs, action, 77.0, next_obs, terminated)  # a reward that nobody is to look at
    with torch.no_grad():
        for net in (agent.actor, agent.critic, agent.discriminator):
            for p in net.parameters():
                p.mul_(1.5)
        for p in agent.target_critic.parameters():
            p.mul_(-1)
    monkeypatch.setattr(agent.replay, "sample", lambda n: agent.replay.batch(np.arange(3)))
    monkeypatch.setattr(agent, "gaussian", lambda shape: EPSILON.expand(shape))
    return agent


def log_q_by_hand(discriminator, state):
    """log q(z | state) of every skill, by plain loops."""
    logits = forward(list(discriminator)[:-1], state)
    return [logit - sum(other.exp() for other in logits).log() for logit in logits]


def test_one_update_is_the_same_with_plain_loops(monkeypatch):
    agent = prepared(monkeypatch)
    actor, critic, discriminator = map(copy.deepcopy, (agent.actor, agent.critic, agent.discriminator))
    old_targets = [p.clone() for p in agent.target_critic.parameters()]
    log_q = [log_q_by_hand(discriminator, NEXT_STATE[i])[SKILL[i]] for i in range(3)]
    (-sum(log_q) / 3).backward()
    rewards = [value.item() + math.log(3) for value in log_q]
    loss = 0.0
    for i in range(3):
        action, log_prob = policy_by_hand("SAC", actor, NEXT[i], EPSILON[i])
        next_value = min(values_by_hand(agent.target_critic, NEXT[i], action)) - 0.3 * log_prob
        y = rewards[i] + (0.0 if TERMINATED[i] else 0.9 * next_value.item())
        loss += sum((q - y) ** 2 for q in values_by_hand(critic, OBS[i], [torch.tensor(a) for a in UNIT[i]])) / 6
    actor.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in critic.parameters():
            p.copy_(adam(p, 2e-3))
    monkeypatch.setattr("test_ddpg.OBS", OBS)
    monkeypatch.setattr("test_ddpg.EPSILON", EPSILON)
    actor_loss = actor_loss_by_hand("SAC", actor, critic, 0.3)
    actor_loss.backward()
    drawn = agent.learn()
    assert drawn["policy/mutual_information"] == pytest.approx(np.mean(rewards), rel=1e-4)
    assert drawn["loss/critic"] == pytest.approx(loss.item(), rel=1e-4)
    assert drawn["loss/actor"] == pytest.approx(actor_loss.item(), rel=1e-4)
    entropy = -np.mean([policy_by_hand("SAC", actor, OBS[i], EPSILON[i])[1].item() for i in range(3)])
    assert drawn["policy/entropy"] == pytest.approx(entropy, rel=1e-4)
    for p, expected in zip(agent.discriminator.parameters(), discriminator.parameters(), strict=True):
        torch.testing.assert_close(p, adam(expected, 2e-3), rtol=1e-4, atol=2e-6)
    for p, expected in zip(agent.critic.parameters(), critic.parameters(), strict=True):
        torch.testing.assert_close(p, expected, rtol=1e-4, atol=2e-6)
    for p, expected in zip(agent.actor.parameters(), actor.parameters(), strict=True):
        torch.testing.assert_close(p, adam(expected, 1e-3), rtol=1e-4, atol=2e-6)
    for p, old, new in zip(agent.target_critic.parameters(), old_targets, agent.critic.parameters(), strict=True):
        torch.testing.assert_close(p, 0.75 * old + 0.25 * new.detach())


def test_each_part_of_an_update_moves_its_own_network_only(monkeypatch):
    names = ("actor", "critic", "target_critic", "discriminator")
    agent = prepared(monkeypatch)
    batch = agent.replay.sample(3)
    for part, moved in [
        (lambda: agent.learn_discriminator(batch.next_obs), "discriminator"),
        (lambda: agent.learn_critic(batch), "critic"),
        (lambda: agent.learn_actor(batch), "actor"),
        (agent.move_targets, "target_critic"),
    ]:
        before = {n: [p.detach().clone() for p in getattr(agent, n).parameters()] for n in names}
        grads = {n: [p.grad is not None and p.grad.clone() for p in getattr(agent, n).parameters()] for n in names}
        part()
        for name in names:
            parameters = list(getattr(agent, name).parameters())
            assert all(map(torch.equal, parameters, before[name])) == (name != moved)
            if name != moved:  # nor does a gradient reach it
                for p, grad in zip(parameters, grads[name], strict=True):
                    assert p.grad is None if grad is False else torch.equal(p.grad, grad)


def test_all_that_training_needs_is_in_the_state(monkeypatch):
    agent, other = prepared(monkeypatch), prepared(monkeypatch, seed=6)
    agent.learn()
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    for _ in range(3):
        assert agent.learn() == other.learn()


def test_no_gradient_is_left_over_for_the_next_update(monkeypatch):
    agent = prepared(monkeypatch, actor_learning_rate=0.0, critic_learning_rate=0.0, tau=0.0)
    grads = []
    for _ in range(2):
        reward = agent.learn()["policy/mutual_information"]
        nets = (agent.actor, agent.critic, agent.discriminator)
        grads.append([p.grad.clone() for net in nets for p in net.parameters()])
    assert all(map(torch.equal, *grads))
    assert not agent.learn_discriminator(agent.replay.sample(3).next_obs).requires_grad
    assert math.isfinite(reward)


def test_the_reward_is_zero_at_chance_and_at_most_log_n():
    agent = make(batch_size=500)
    rng = np.random.default_rng(0)
    obs = torch.from_numpy(np.hstack([rng.normal(size=(500, 2)) * 3, np.eye(3)[rng.integers(3, size=500)]])).float()
    with torch.no_grad():
        agent.discriminator[-2].weight.zero_()
        agent.discriminator[-2].bias.zero_()
    torch.testing.assert_close(agent.learn_discriminator(obs), torch.zeros(500), atol=1e-6, rtol=0)
    agent = make()
    with torch.no_grad():
        for p in agent.discriminator.parameters():
            p.mul_(20)
    reward = agent.learn_discriminator(obs)
    assert reward.max() <= math.log(3) + 1e-6
    assert reward.max() > math.log(3) - 0.01, "a discriminator that is sure reaches the bound"
    assert reward.mean() < 0, "and one that is sure without a reason pays for it"


def test_the_discriminator_learns_what_can_be_known():
    """States are the skill plus noise: the mean reward nears the mutual information, computed by quadrature."""
    agent = make(critic_learning_rate=1e-2)
    rng = np.random.default_rng(0)
    sigma, rewards = 0.5, []
    for _ in range(1500):
        skill = rng.integers(3, size=256)
        state = np.stack([skill + sigma * rng.normal(size=256), rng.normal(size=256)], axis=1)
        obs = torch.from_numpy(np.hstack([state, np.eye(3)[skill]])).float()
        rewards.append(agent.learn_discriminator(obs).mean().item())
    x = np.linspace(-3, 5, 4001)
    density = scipy.stats.norm.pdf(x[:, None], np.arange(3), sigma)  # p(s | z)
    exact = np.trapezoid(density * np.log(density / density.mean(axis=1, keepdims=True)), x, axis=0).mean()
    assert np.mean(rewards[-300:]) == pytest.approx(exact, rel=0.05)
    assert np.mean(rewards[:20]) < 0.2 * exact


def test_the_skill_is_named_by_the_whole_trajectory_and_its_states_alone(monkeypatch):
    agent = make()
    table = {0.0: [0.5, 0.4, 0.1], 1.0: [0.5, 0.4, 0.1], 2.0: [0.01, 0.9, 0.09], 3.0: [0.4, 0.55, 0.05]}
    monkeypatch.setattr(agent, "discriminator", lambda s: torch.tensor([table[x] for x in s[:, 0].tolist()]).log())
    for claimed in range(3):
        obs = np.hstack([[[2.0, 0.0], [0.0, 0.0], [1.0, 0.0]], np.eye(3)[[claimed] * 3]]).astype(np.float32)
        assert agent.skill_seen(obs) == 1, "two states are for 0, but the sum is not"
        assert agent.skill_seen(obs[1:]) == 0
        obs[0, 0] = 3.0
        assert agent.skill_seen(obs) == 0, "nor is it the one that is surest of a single state"


# the point world and its skills


@pytest.fixture
def rooms():
    return load("DIAYN")


def test_the_world_passes_gymnasiums_checker(rooms):
    check_env(gym.make(rooms.main.ENV_ID).unwrapped, skip_render_check=True)
    check_env(gym.make(rooms.main.ENV_ID, render_mode="rgb_array").unwrapped)


def test_the_point_moves_by_the_action_and_stops_at_walls(rooms):
    world = rooms.env.PointWorld()
    first, _ = world.reset(seed=3)
    assert np.abs(first).max() <= 0.05
    obs, reward, terminated, truncated, _ = world.step(np.array([0.5, -1.0]))
    np.testing.assert_allclose(obs - first, (0.05, -0.1), atol=1e-6)
    assert (reward, terminated, truncated) == (0.0, False, False)
    np.testing.assert_allclose(world.step(np.array([9.0, 9.0]))[0], obs + 0.1, atol=1e-6)
    for action, end in [([1, 1], [1, 1]), ([-1, 1], [-1, 1])]:  # the room's corners
        for _ in range(30):
            obs = world.step(np.array(action))[0]
        np.testing.assert_array_equal(obs, end)
    for left, bottom, right, top in rooms.env.WALLS:
        x, y = (left + right) / 2, (bottom + top) / 2
        for start, action, wall in [
            ((left - 0.15, y), (1, 0), (left, y)),
            ((right + 0.15, y), (-1, 0), (right, y)),
            ((x, bottom - 0.15), (0, 1), (x, bottom)),
            ((x, top + 0.15), (0, -1), (x, top)),
        ]:
            world.position = np.array(start)
            for _ in range(5):
                obs = world.step(np.array(action))[0]
            assert 0 <= np.abs(obs - wall).sum() <= 0.1
            assert not rooms.env.inside(obs)
        world.position = np.array([left - 0.05, y])
        np.testing.assert_allclose(world.step(np.array([1, 0.5]))[0], [left - 0.05, y + 0.05], atol=1e-6)


def test_no_wall_is_ever_entered(rooms):
    world, rng = rooms.env.PointWorld(), np.random.default_rng(0)
    visited = []
    for episode in range(100):
        world.reset(seed=episode)
        drift = rng.normal(size=2)
        for _ in range(40):
            visited.append(world.step(drift + rng.normal(size=2))[0])
    visited = np.array(visited)
    assert np.abs(visited).max() == 1.0
    assert not any(rooms.env.inside(position) for position in visited)


def test_time_is_up_after_forty_steps_and_nothing_terminates(rooms, tmp_path):
    rooms.main.LEARNING_STARTS = 1000
    agent = train(rooms, tmp_path, 100)
    rows = agent.replay.transitions[:100]
    assert not rows["terminated"].any()
    assert not rows["reward"].any()
    joined = (rows["next_obs"][:-1] == rows["obs"][1:]).all(axis=1)
    assert set(np.flatnonzero(~joined)) == {39, 79}, "no transition joins two episodes"
    np.testing.assert_array_equal(rows["obs"][:, 2:], rows["next_obs"][:, 2:])  # nor two skills
    assert set(rows["obs"][:, 2:].sum(axis=1)) == {1.0}


def test_skills_are_drawn_evenly_and_seen_one_hot(rooms):
    env = rooms.main.make_env()
    n = rooms.main.N_SKILLS
    assert env.observation_space.shape == (2 + n,)
    obs, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(obs, again)
    counts = np.zeros(n)
    for _ in range(2000):
        obs, _ = env.reset()
        assert obs in env.observation_space
        counts += obs[2:]
        np.testing.assert_array_equal(env.step(env.action_space.sample())[0][2:], obs[2:])
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    for skill in range(n):
        obs, _ = env.reset(options={"skill": skill})
        assert obs[2:].argmax() == skill


def test_evaluation_shows_every_skill_as_often(rooms):
    main, seen, starts = rooms.main, [], set()

    class Guesser:
        def act(self, obs, explore):
            assert not explore
            return np.zeros(2)

        def skill_seen(self, obs):
            seen.append((int(obs[0, 2:].argmax()), len(obs)))
            starts.add(tuple(obs[0, :2]))
            return 3

    scores = main.evaluate(Guesser(), 40, 7)
    assert [skill for skill, _ in seen] == [(7 + i) % 10 for i in range(40)]
    assert {steps for _, steps in seen} == {41}
    assert len(starts) == 40, "each episode has a start of its own"
    assert scores.sum() == 4
    np.testing.assert_array_equal(np.flatnonzero(scores), [6, 16, 26, 36])


def test_states_tell_more_of_the_skill_while_training(rooms, tmp_path):
    rooms.main.LEARNING_STARTS, rooms.main.EVAL_EVERY = 500, 3000
    told, log = [], rooms.harness.Run.log
    name = "policy/mutual_information"
    rooms.harness.Run.log = lambda run, step, values: told.append(values.get(name)) or log(run, step, values)
    agent = train(rooms, tmp_path, 3000)
    told = [value for value in told if value is not None]
    first, last = np.mean(told[:100]), np.mean(told[-100:])
    assert first < 0.5
    assert first + 0.5 < last < math.log(10)
    assert rooms.main.evaluate(agent, 20, 0).mean() >= 0.5
    assert rooms.main.evaluate(rooms.main.make_agent(rooms.main.make_env(), 1), 20, 0).mean() <= 0.3


def test_the_film_shows_one_skill_after_the_other(rooms, tmp_path):
    run = rooms.harness.Run(rooms.main, 0, 10, tmp_path / "run")
    agent = run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    with torch.no_grad():  # skill i goes in a direction of its own
        for layer in agent.actor.gaussian[::2]:
            layer.weight.zero_()
            layer.bias.zero_()
        for i in range(10):
            agent.actor.gaussian[0].weight[i, 2 + i] = agent.actor.gaussian[2].weight[i, i] = 1.0
            angle = 2 * math.pi * i / 10
            agent.actor.gaussian[4].weight[:2, i] = torch.tensor([math.cos(angle), math.sin(angle)])
    run.save()
    rooms.harness.show(rooms.main, tmp_path / "run", tmp_path / "film.gif")
    import imageio.v3

    frames = imageio.v3.imread(tmp_path / "film.gif").astype(int)
    firsts = []
    for colour in rooms.env.COLOURS.astype(int):
        when = [np.abs(frame[..., :3] - colour).sum(axis=-1).min() < 30 for frame in frames]
        firsts.append(when.index(True))
        assert all(when[firsts[-1] :]), "what is drawn stays"
    assert (np.diff(firsts) >= 5).all()


def test_main_mujoco_is_main_with_other_settings(rooms, tmp_path, capsys):
    source = (lineage.ROOT / "DIAYN" / "main_mujoco.py").read_text()
    names = set(re.findall(r"main\.([A-Z][A-Z_]+)", source))
    assert names == {name for name in vars(rooms.main) if name.isupper()} - {"SEED"}
    pytest.importorskip("mujoco")
    with importable("DIAYN", rooms):
        exec(compile(source, "main_mujoco.py", "exec"), {"__name__": "main_mujoco"})
    rooms.main.LEARNING_STARTS = 1020
    agent = train(rooms, tmp_path, 1050)  # one episode and more
    assert agent.act(np.zeros(27, np.float32)).shape == (6,)
    assert not agent.replay.transitions["terminated"].any()
    assert rooms.main.evaluate(agent, 2, 8).shape == (2,)
    assert re.fullmatch(r"returns:  skill 8 -?\d+  skill 9 -?\d+\n", capsys.readouterr().out)
    assert rooms.main.make_env().unwrapped.camera_name == "track", "films follow the robot"
    assert rooms.main.make_env().spec.max_episode_steps == 1000
    assert rooms.main.make_env("rgb_array").spec.max_episode_steps == 100, "ten whole episodes fill the memory"


# tasks so small that the answer is known


class Placed(gym.Env):
    """One step, after which the state is what the action says. The first state is 0."""

    observation_space = gym.spaces.Box(-3.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-3.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.float32(action), 0.0, True, False, {}


def learn(rooms, env, n_skills, steps, check, reward=None, alpha=1e-4):
    """As in main.py: act, remember, learn; with a reward of the state, if one is given, in place of the skill's.

    Until check(agent) holds, which it has to in the end.
    """
    rooms.main.N_SKILLS, rooms.main.ALPHA = n_skills, alpha
    env = rooms.env.Skills(env, n_skills)
    agent = rooms.main.make_agent(env, seed=0)
    if reward:
        agent.learn_discriminator = lambda obs: reward(obs[:, 0])
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        if step % 100 == 99 and probes.is_learned(check, agent):
            return
        action = agent.act(obs)
        next_obs, _, terminated, truncated, _ = env.step(action)
        agent.replay.add(obs, action, 0.0, next_obs, terminated)
        obs = env.reset()[0] if terminated or truncated else next_obs
        if step >= 100:
            agent.told = agent.learn()["policy/mutual_information"]
    check(agent)


def value(agent, state, action):
    unit = (torch.tensor([[action]]) - agent.center) / agent.half
    return agent.critic(torch.tensor([[state, 1.0]]), unit).detach().numpy()


@pytest.mark.parametrize("task", ["constant", "observed", "delayed"])
def test_critics_learn_the_exact_values(rooms, task):
    reward = {"constant": torch.ones_like}.get(task, lambda state: state)
    gamma = rooms.main.GAMMA
    exact = {"constant": {0.0: 1.0}, "observed": {-1.0: -1.0, 1.0: 1.0}, "delayed": {-1.0: 1.0 + gamma, 1.0: 1.0}}

    def check(agent):
        for state, expected in exact[task].items():
            action = float(agent.act(np.array([state, 1.0], np.float32), explore=False)[0])
            np.testing.assert_allclose(value(agent, state, action), expected, rtol=0.05)

    learn(rooms, probes.in_a_box(getattr(probes, task)()), 1, 1200, check, reward)


def test_the_actor_finds_the_best_action(rooms):
    def check(agent):
        action = float(agent.act(np.array([0.0, 1.0], np.float32), explore=False)[0])
        assert action == pytest.approx(0.5, abs=0.2), "the box is 4 wide: 5 %"
        np.testing.assert_allclose(value(agent, 0.0, action), 1.0, atol=0.05)

    learn(rooms, Placed(), 1, 2000, check, lambda state: 1.0 - (state - 0.5) ** 2)


def test_two_skills_share_the_states_between_them(rooms):
    def check(agent):
        ends = [float(agent.act(np.array(obs, np.float32), explore=False)[0]) for obs in ([0, 1, 0], [0, 0, 1])]
        assert min(ends) < -1.3
        assert max(ends) > -0.7, "the middle of the box is -1"
        assert agent.told == pytest.approx(math.log(2), rel=0.05), "the state tells all of the skill, and no more"
        for skill in range(2):
            assert agent.skill_seen(np.array([[ends[skill], 1 - skill, skill]], np.float32)) == skill

    learn(rooms, Placed(), 2, 2500, check, alpha=0.1)
