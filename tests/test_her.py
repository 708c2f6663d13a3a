"""Hindsight experience replay: whose future a goal comes from, rewards and ends under it, and the tasks."""

import copy
import re

import lineage
import numpy as np
import pytest
import scipy.stats
import torch
from folders import WITH_GOALS, importable, load, train
from gymnasium.utils.env_checker import check_env

pytestmark = pytest.mark.skipif("DQNwithHER" not in lineage.FOLDERS, reason="the folder is not there")
CAPACITY = 40


def judge(achieved, desired):
    reached = (achieved == desired).all(axis=-1)
    return np.where(reached, 0.0, -1.0), reached


def buffer_of(folder, k, capacity=CAPACITY):
    """A memory of transitions whose goals have two numbers, and observations of one number besides."""
    replay = load(folder).replay
    buffer = replay.ReplayBuffer(capacity, 5, np.int64, np.random.default_rng(0))
    buffer.use_hindsight(k, 2, judge)
    return buffer


def play(buffer, episode, length, end=True, desired=(-1.0, -1.0)):
    """An episode in which step t leads to the goal (episode, t + 1); nothing in it is equal to anything elsewhere."""
    for t in range(length):
        obs = np.array([episode, t, *desired, 10 * t], np.float32)
        next_obs = np.array([episode, t + 1, *desired, 10 * (t + 1)], np.float32)
        buffer.add(obs, t, -7.0, next_obs, False)
    if end:
        buffer.end_episode()


def relabelled(batch):
    return (batch.obs[:, 2] != -1).numpy()


@pytest.mark.parametrize("folder", WITH_GOALS)
@pytest.mark.parametrize("lengths", [[40], [1] * 30, [7, 3, 12, 1, 9], [7, 13, 12, 11, 10, 9, 2], [25, 30], [3, 90]])
def test_goals_come_from_the_future_of_the_same_episode(folder, lengths):
    """Also where the oldest episode is partly overwritten. From all of the future, equally often."""
    buffer = buffer_of(folder, 4)
    for episode, length in enumerate(lengths):
        play(buffer, episode, length)
    stored = [(e, t) for e, length in enumerate(lengths) for t in range(length)][-CAPACITY:]
    batch = buffer.sample(60_000)
    chosen = relabelled(batch)
    episode, t = batch.obs[chosen, 0].int().numpy(), batch.obs[chosen, 1].int().numpy()
    goal_episode, goal_t = batch.obs[chosen, 2].int().numpy(), batch.obs[chosen, 3].int().numpy()
    np.testing.assert_array_equal(goal_episode, episode)
    assert (goal_t > t).all(), "a goal was achieved after the observation"
    assert (goal_t <= np.array(lengths)[episode]).all()
    seen = set(zip(episode.tolist(), t.tolist(), goal_t.tolist(), strict=True))
    possible = {(e, t, goal) for e, t in stored for goal in range(t + 1, lengths[e] + 1)}
    assert seen <= possible
    assert len(seen) > 0.98 * len(possible)
    first = next(pair for pair in stored if lengths[pair[0]] == max(lengths[e] for e, _ in stored))
    counts = np.bincount(goal_t[(episode == first[0]) & (t == first[1])] - first[1] - 1)
    assert len(counts) == lengths[first[0]] - first[1]
    assert len(counts) == 1 or scipy.stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("folder", WITH_GOALS)
@pytest.mark.parametrize("k", [0, 1, 4, 8])
def test_the_share_relabelled_is_k_of_k_plus_1(folder, k):
    buffer = buffer_of(folder, k)
    play(buffer, 0, 15)
    play(buffer, 1, 20)
    n, share = 40_000, k / (k + 1)
    found = relabelled(buffer.sample(n)).mean()
    assert abs(found - share) <= 4 * np.sqrt(share * (1 - share) / n)


@pytest.mark.parametrize("folder", WITH_GOALS)
def test_rewards_and_ends_are_right_under_the_goal(folder):
    buffer = buffer_of(folder, 4)
    play(buffer, 0, 15)
    play(buffer, 1, 20)
    before = buffer.transitions.copy()
    batch = buffer.sample(5000)
    chosen = relabelled(batch)
    for i in range(5000):
        obs, next_obs = batch.obs[i].tolist(), batch.next_obs[i].tolist()
        assert obs[2:4] == next_obs[2:4], "one goal before and after the step"
        assert obs[0] == next_obs[0]
        assert obs[1] + 1 == next_obs[1]
        assert [obs[4], next_obs[4]] == [10 * obs[1], 10 * next_obs[1]]
        assert batch.action[i] == int(obs[1])
        if chosen[i]:
            reached = next_obs[:2] == next_obs[2:4]
            assert batch.reward[i] == (0.0 if reached else -1.0)
            assert batch.terminated[i] == float(reached)
        else:
            assert batch.reward[i] == -7.0, "what was not relabelled stays as it was"
            assert batch.terminated[i] == 0.0
    assert 0 < batch.terminated.mean() < 1
    np.testing.assert_array_equal(buffer.transitions, before)  # only the samples are relabelled


@pytest.mark.parametrize("folder", WITH_GOALS)
def test_an_unfinished_episode_has_its_own_future_only(folder):
    buffer = buffer_of(folder, 4)
    play(buffer, 0, 9)
    play(buffer, 1, 6, end=False)
    batch = buffer.sample(20_000)
    chosen = relabelled(batch)
    np.testing.assert_array_equal(batch.obs[chosen, 2], batch.obs[chosen, 0])
    under_way = chosen & (batch.obs[:, 0] == 1).numpy()
    assert set(batch.obs[under_way, 3].tolist()) == set(range(1, 7)), "as far as it has come"
    play(buffer, 1, 70, end=False)  # once round, over its own beginning
    batch = buffer.sample(20_000)
    chosen = relabelled(batch)
    assert (batch.obs[chosen, 3] > batch.obs[chosen, 1]).all()
    assert set(batch.obs[chosen, 2].tolist()) == {1.0}


@pytest.mark.parametrize("folder", WITH_GOALS)
@pytest.mark.parametrize("ended", [False, True])
def test_a_resumed_memory_begins_a_new_episode(folder, ended):
    buffer, other = buffer_of(folder, 4), buffer_of(folder, 4)
    for episode in range(6):
        play(buffer, episode, 11)
    play(buffer, 6, 5, end=ended)
    state = copy.deepcopy(buffer.state_dict())
    np.testing.assert_array_equal(
        buffer.ends == np.iinfo(np.int64).max, [not ended and 66 % 40 <= i < 71 % 40 for i in range(40)]
    )
    other.load_state_dict(state)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    play(other, 7, 12)
    batch = other.sample(20_000)
    chosen = relabelled(batch)
    np.testing.assert_array_equal(batch.obs[chosen, 2], batch.obs[chosen, 0])
    assert batch.obs[(batch.obs[:, 0] == 6).numpy() & chosen, 3].max() == 5


@pytest.mark.parametrize("folder", WITH_GOALS)
def test_training_tells_the_memory_where_episodes_end(folder, tmp_path):
    """Transitions of one episode, by its goal and by its chain of observations, have one end and no other has it."""
    rooms = load(folder)
    agent = train(rooms, tmp_path, 700)
    rows, ends = agent.replay.transitions[:700], agent.replay.state_dict()["ends"]
    goals = rows["obs"][:, agent.replay.desired]
    new = np.array([True, *(goals[1:] != goals[:-1]).any(axis=1)])
    np.testing.assert_array_equal(new[1:], ends[1:] != ends[:-1])
    np.testing.assert_array_equal(np.flatnonzero(new)[1:], np.unique(ends)[:-1])
    same = ~new[1:]
    np.testing.assert_array_equal(rows["next_obs"][:-1][same], rows["obs"][1:][same])
    rewards, terminations = agent.replay.judge(rows["next_obs"][:, agent.replay.achieved], goals)
    np.testing.assert_array_equal(rows["reward"], rewards)
    np.testing.assert_array_equal(rows["terminated"], np.broadcast_to(terminations, 700))


@pytest.mark.parametrize("folder", WITH_GOALS)
def test_without_hindsight_every_goal_is_the_one_pursued(folder):
    rooms = load(folder)
    rooms.main.HER = False
    agent = rooms.main.make_agent(rooms.main.make_env(), 0)
    assert agent.replay.k == 0
    rooms.main.HER = True
    assert rooms.main.make_agent(rooms.main.make_env(), 0).replay.k == 4


@pytest.fixture
def bits():
    return load("DQNwithHER").env.BitFlipping


def test_bit_flipping_is_a_proper_environment(bits):
    check_env(bits(7, render_mode="rgb_array"), skip_render_check=True)
    env = bits(7, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape == (64, 7 * 32, 3)
    wrong = [(picture[16, 32 * i + 16] != picture[16, 32 * i + 16, 0]).any() for i in range(7)]
    np.testing.assert_array_equal(wrong, env.bits != env.goal)  # what is wrong is red, the rest grey


def test_each_action_flips_its_bit_and_only_the_goal_is_rewarded(bits, rng):
    env = bits(6)
    for _ in range(200):
        before, _ = env.reset(seed=int(rng.integers(2**31)))
        for _ in range(12):
            action = int(rng.integers(6))
            obs, reward, terminated, truncated, info = env.step(action)
            expected = before["observation"].copy()
            expected[action] = -expected[action]
            np.testing.assert_array_equal(obs["observation"], expected)
            np.testing.assert_array_equal(obs["achieved_goal"], expected)
            np.testing.assert_array_equal(obs["desired_goal"], before["desired_goal"])
            reached = bool((expected == obs["desired_goal"]).all())
            assert (reward, terminated, truncated) == (0.0 if reached else -1.0, reached, False)
            assert info["is_success"] == reached
            assert reward == env.compute_reward(obs["achieved_goal"], obs["desired_goal"], info)
            before = obs
            if terminated:
                break


def test_starts_and_goals_are_all_equally_likely_and_independent(bits):
    env = bits(3)
    codes = [env.reset(seed=0)[0]] + [env.reset()[0] for _ in range(6399)]
    weights = 2 ** np.arange(3)
    numbers = [int((obs["observation"] > 0) @ weights) * 8 + int((obs["desired_goal"] > 0) @ weights) for obs in codes]
    assert scipy.stats.chisquare(np.bincount(numbers, minlength=64)).pvalue > 1e-4


@pytest.mark.parametrize("n_bits", [5, 30, 50])
def test_bit_flipping_can_be_solved_in_at_most_as_many_steps_as_bits(n_bits):
    rooms = load("DQNwithHER")
    rooms.main.ENV_SETTINGS = {"n_bits": n_bits, "max_episode_steps": n_bits}

    class Knowing:
        def act(self, obs, explore):
            assert not explore
            achieved, desired, bits = np.split(obs, 3)
            np.testing.assert_array_equal(achieved, bits)
            return int(np.argmax(bits != desired))

    assert rooms.main.evaluate(Knowing(), 200, 0).all()

    class Idle:
        def act(self, obs, explore):
            return 0

    assert rooms.main.evaluate(Idle(), 200, 0).mean() < 0.1, "5 bits: one wrong bit of five, and that the first"


def test_rewards_and_ends_of_many_goals_at_once(bits, rng):
    achieved, desired = rng.integers(2, size=(2, 500, 2)).astype(np.float32)
    expected = [a.tolist() == d.tolist() for a, d in zip(achieved, desired, strict=True)]
    np.testing.assert_array_equal(bits.compute_terminated(achieved, desired, {}), expected)
    np.testing.assert_array_equal(bits.compute_reward(achieved, desired, {}), np.array(expected) - 1.0)


def test_hindsight_makes_few_bits_easy_and_without_it_many_stay_unreached(tmp_path):
    """With 12 bits a goal is met by chance once in many episodes: 4,000 steps are enough only with hindsight."""
    scores = {}
    for her in (True, False):
        rooms = load("DQNwithHER")
        rooms.main.ENV_SETTINGS, rooms.main.HER = {"n_bits": 12, "max_episode_steps": 12}, her
        rooms.main.EPSILON_SHARE, rooms.main.HIDDEN = 1500 / 4000, 64
        agent = train(rooms, tmp_path / str(her), 4000)
        scores[her] = rooms.main.evaluate(agent, 100, 7).mean()
    assert scores[True] > 0.9
    assert scores[False] < 0.05


@pytest.mark.parametrize("folder", WITH_GOALS)
def test_a_sample_costs_little(folder):
    """All of a batch at once: relabelling takes no loop over the samples."""
    import time

    seconds = {}
    for k in (0, 4):
        buffer = buffer_of(folder, k, 5000)
        for episode in range(100):
            play(buffer, episode, 50)
        runs = []
        for _ in range(7):
            begin = time.process_time()
            for _ in range(100):
                buffer.sample(512)
            runs.append(time.process_time() - begin)
        seconds[k] = min(runs)
    assert seconds[4] < 10 * seconds[0]
    assert isinstance(buffer.sample(3).obs, torch.Tensor)


DDPG = pytest.mark.skipif("DDPGwithHER" not in lineage.FOLDERS, reason="the folder is not there")
LOW, HIGH = np.array([-3.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32)
OBS = np.array([[0.1, 0.2, 3.0], [-0.3, 0.4, 1.0], [0.5, -0.6, 2.0]], np.float32)
NEXT = np.array([[0.7, 0.1, 9.0], [0.2, -0.9, 2.5], [0.3, 0.3, 1.5]], np.float32)
ACTION = np.array([[-3.0, 1.5], [0.5, 1.2], [-1.0, 2.0]], np.float32)
UNIT = np.array([[-1.0, 0.0], [0.75, -0.6], [0.0, 1.0]], np.float32)  # the same between -1 and 1
REWARD, TERMINATED = [5.0, -1.0, -20.0], [True, False, False]  # two returns that cannot be, of rewards of -1 and 0


def ddpg(**changed):
    rooms = load("DDPGwithHER")
    settings = {
        "hidden": 8, "actor_learning_rate": 1e-3, "critic_learning_rate": 2e-3, "gamma": 0.9, "tau": 0.25,
        "batch_size": 3, "capacity": 3, "seed": 0, "noise_sigma": 0.3, "action_l2": 0.7,
    }  # fmt: skip
    return rooms.agent.Agent(3, LOW, HIGH, **{**settings, **changed})


@DDPG
def test_an_update_of_ddpg_with_bounds_normalisation_and_small_actions(monkeypatch):
    agent = ddpg()
    for transition in zip(OBS, ACTION, REWARD, NEXT, TERMINATED, strict=True):
        agent.replay.add(*transition)
    monkeypatch.setattr(agent.replay, "sample", lambda n: agent.replay.batch(np.arange(3)))
    before = copy.deepcopy(agent)
    agent_drawn = agent.learn()
    mean, std = OBS.mean(axis=0), OBS.std(axis=0, ddof=1)

    def normal(obs):
        return torch.tensor(np.clip((obs - mean) / std, -5, 5))

    assert (np.abs((NEXT - mean) / std) > 5).any(), "the case must show the cut-off"
    with torch.no_grad():
        next_action = before.target_actor.action(normal(NEXT))
        next_value = before.target_critic.q(torch.cat([normal(NEXT), next_action], dim=1))[:, 0].tolist()
        q = before.critic.q(torch.cat([normal(OBS), torch.tensor(UNIT)], dim=1))[:, 0].tolist()
        loss, beyond = 0.0, set()
        for i in range(3):
            y = REWARD[i] if TERMINATED[i] else REWARD[i] + 0.9 * next_value[i]
            beyond.add((y > 0) - (y < -10))
            loss += (q[i] - max(-10.0, min(0.0, y))) ** 2 / 3
        action = before.actor.action(normal(OBS))
        actor_loss = -agent.critic.q(torch.cat([normal(OBS), action], dim=1)).mean() + 0.7 * (action**2).mean()
    assert beyond == {1, 0, -1}, "the case must show both bounds, and a target between them"
    assert agent_drawn["loss/critic"] == pytest.approx(loss, rel=1e-4)
    assert agent_drawn["loss/actor"] == pytest.approx(actor_loss.item(), rel=1e-4)


@DDPG
def test_normalisation_is_by_all_observations_so_far(rng):
    normalizer = load("DDPGwithHER").model.Normalizer(4, affine=False, momentum=None)
    np.testing.assert_allclose(normalizer(torch.tensor([0.5, -0.5, 4.0, 9.0])), [0.5, -0.5, 4.0, 5.0], rtol=1e-4)
    everything = (7 + rng.normal(size=(200, 64, 4)) * [1.0, 100.0, 0.0, 0.001]).astype(np.float32)  # 200 batches
    for batch in everything:
        normalizer.update(torch.tensor(batch))
    everything = everything.reshape(-1, 4).astype(np.float64)
    np.testing.assert_allclose(normalizer.running_mean, everything.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(normalizer.running_var, everything.var(axis=0), rtol=0.01, atol=1e-8)
    expected = (everything - everything.mean(axis=0)) / np.maximum(0.01, everything.std(axis=0))
    np.testing.assert_allclose(normalizer(torch.tensor(everything).float()), np.clip(expected, -5, 5), atol=0.02)


@DDPG
def test_normalisation_is_alike_in_all_networks_stands_still_in_evaluation_and_is_saved(tmp_path):
    rooms = load("DDPGwithHER")
    agent = copy.deepcopy(train(rooms, tmp_path, 1100))
    other = rooms.main.make_agent(rooms.main.make_env(), 1)
    other.load_state_dict(agent.state_dict())
    before = copy.deepcopy(agent.actor.normalizer.state_dict())
    assert before["num_batches_tracked"] == 101
    rooms.main.evaluate(agent, 1, 7)
    for one in (agent, other):
        for net in (one.actor, one.critic, one.target_actor, one.target_critic):
            for name, value in before.items():
                assert torch.equal(net.normalizer.state_dict()[name], value)


@DDPG
def test_reaching_is_rewarded_as_the_environment_does():
    """What the memory is told of rewards, on goals near and far; an episode never ends at the goal."""
    rooms = load("DDPGwithHER")
    env = rooms.main.make_env()
    judge = rooms.main.make_agent(env, 0).replay.judge
    achieved, desired = np.zeros((3, 3), np.float32), np.array([[0, 0, 0.04], [0.04, 0.04, 0], [0, 1, 0]], np.float32)
    rewards, terminations = judge(achieved, desired)
    assert rewards.tolist() == [0.0, -1.0, -1.0]
    assert not np.any(terminations)
    obs, _ = env.reset(seed=0)
    obs, paid, *_ = env.step(env.action_space.sample())
    assert judge(obs[:3], obs[3:6])[0] == paid
    assert obs.shape == (16,)
    np.testing.assert_array_equal(obs[:3], obs[6:9])  # the goal achieved is where the hand is


@DDPG
def test_noise_is_gaussian_of_the_size_set():
    agent = ddpg(noise_sigma=0.05)
    noise = (agent.act(np.tile(OBS[0], (4000, 1))) - agent.act(OBS[0], explore=False)) / [2.0, 0.5]  # half the box
    np.testing.assert_allclose(noise.std(axis=0), 0.05, rtol=0.05)
    assert scipy.stats.kstest(noise[:, 0] / 0.05, "norm").pvalue > 1e-4


@DDPG
def test_some_actions_are_random_altogether(tmp_path, monkeypatch):
    """All of the first ones, and then a share of RANDOM_ACTIONS; the others are the agent's."""
    rooms, asked = load("DDPGwithHER"), []
    rooms.main.LEARNING_STARTS, rooms.main.TRAIN_EVERY, rooms.main.EVAL_EVERY = 200, 10**9, 10**9
    monkeypatch.setattr(rooms.main.Agent, "act", lambda self, obs: asked.append(obs) or np.full(4, 0.125, np.float32))
    agent = train(rooms, tmp_path, 1200)
    its_own = (agent.replay.transitions["action"][:1200] == 0.125).all(axis=1)
    assert not its_own[:200].any()
    assert its_own.sum() == len(asked)
    share, n = rooms.main.RANDOM_ACTIONS, 1000
    assert abs(1 - its_own[200:].mean() - share) < 4 * np.sqrt(share * (1 - share) / n)


@DDPG
def test_main_push_is_main_with_other_settings(tmp_path):
    rooms = load("DDPGwithHER")
    source = (lineage.ROOT / "DDPGwithHER" / "main_push.py").read_text()
    names = set(re.findall(r"main\.([A-Z][A-Z_0-9]+)", source))
    assert names == {name for name in vars(rooms.main) if name.isupper()} - {"SEED"}
    with importable("DDPGwithHER", rooms):
        exec(compile(source, "main_push.py", "exec"), {"__name__": "main_push"})
    rooms.main.LEARNING_STARTS = 120
    agent = train(rooms, tmp_path, 150)
    assert agent.replay.k == 4
    assert agent.act(np.zeros(31)).shape == (4,)
    assert set(agent.replay.transitions["reward"][:150]) <= {-1.0, 0.0}
