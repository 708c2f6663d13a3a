"""Every deep agent, made by its own main.py, on tasks so small that the answer is known."""

import numpy as np
import probes
import pytest
import torch
from folders import CONTINUOUS, Q_NETWORKS, WITH_GOALS, load

GAMMA = 0.99
# task -> what Q is at each observation, [observation][action]
ANSWERS = {
    "constant": {0.0: [1.0, 1.0]},
    "observed": {-1.0: [-1.0, -1.0], 1.0: [1.0, 1.0]},
    "delayed": {-1.0: [GAMMA, GAMMA], 1.0: [1.0, 1.0]},
    "acted": {0.0: [-1.0, 1.0]},
    "both": {-1.0: [1.0, -1.0], 1.0: [-1.0, 1.0]},
}


def learn_from_replay(agent, env, steps, check):
    """As in main.py: act, remember, learn; until check(agent) holds, which it has to in the end."""
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        if step % 100 == 99 and probes.is_learned(check, agent):
            return
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        agent.replay.add(obs, action, reward, next_obs, terminated)
        obs = next_obs
        if terminated or truncated:
            obs, _ = env.reset()
            if hasattr(agent.replay, "end_episode"):
                agent.replay.end_episode()
        if step >= 100:
            agent.learn()
    check(agent)


@pytest.mark.parametrize("folder", [folder for folder in Q_NETWORKS if folder not in WITH_GOALS])
@pytest.mark.parametrize("task", ANSWERS)
def test_q_networks_learn_the_exact_values(folder, task):
    rooms = load(folder)
    assert rooms.main.GAMMA == GAMMA
    env = getattr(probes, task)()

    def check(agent):
        for obs, values in ANSWERS[task].items():
            obs = np.array([obs], np.float32)
            np.testing.assert_allclose(agent.q_net(torch.tensor(obs)).detach(), values, atol=0.05)
            if values[0] != values[1]:
                assert agent.act(obs, explore=False) == np.argmax(values)

    learn_from_replay(rooms.main.make_agent(env, seed=0), env, 1500, check)


# task -> time and goal -> what Q is
ANSWERS_WITH_A_GOAL = {
    "constant": {(0, -1): [-1, -1], (0, 1): [-1, -1]},
    "observed": {(0, -1): [-3, -3], (0, 1): [-1, -1]},
    "delayed": {(0, 1): ["gamma", "gamma"], (1, 1): [-1, -1]},
    "acted": {(0, -1): [-1, 0], (0, 1): [-1, 0]},
    "both": {(0, -1): [0, -1], (0, 1): [-1, 0]},
}


@pytest.mark.parametrize("folder", [folder for folder in WITH_GOALS if folder in Q_NETWORKS])
@pytest.mark.parametrize("task", ANSWERS_WITH_A_GOAL)
def test_q_networks_with_goals_learn_the_exact_values(folder, task):
    """Most samples have a relabelled goal, and each value must be right under its goal."""
    rooms = load(folder)
    env = probes.with_a_goal(task)

    def check(agent):
        for (time, goal), values in ANSWERS_WITH_A_GOAL[task].items():
            obs = np.array([0, goal, time], np.float32)
            values = [-rooms.main.GAMMA if value == "gamma" else value for value in values]
            np.testing.assert_allclose(agent.q_net(torch.tensor(obs)).detach(), values, atol=0.05)
            if values[0] != values[1]:
                assert agent.act(obs, explore=False) == np.argmax(values)

    learn_from_replay(rooms.main.make_agent(env, seed=0), env, 1500, check)


@pytest.fixture(params=CONTINUOUS)
def rooms(request):
    """A folder for continuous actions, with its noise as large as tasks of one step ask for."""
    rooms = load(request.param)
    if hasattr(rooms.main, "NOISE_SIGMA"):
        rooms.main.NOISE_SIGMA = 0.5
    return rooms


def train_in_a_box(rooms, env, steps, check):
    agent = rooms.main.make_agent(env, seed=0)
    if rooms.harness.FOLDER.name == "SAC":  # with hardly a reward for entropy soft values are plain ones
        agent.temperature.log_alpha.data.fill_(-8.0)
    learn_from_replay(agent, env, steps, check)


def value(agent, obs, action):
    """Q(s, a), of both critics where there are two."""
    obs, action = torch.tensor([[obs]]), torch.tensor([[action]])
    return agent.critic(obs, (action - agent.center) / agent.half).detach().numpy()


@pytest.mark.parametrize("task", ["constant", "observed", "delayed"])
def test_critics_learn_the_exact_values(rooms, task):
    exact = {"constant": {0.0: 1.0}, "observed": {-1.0: -1.0, 1.0: 1.0}, "delayed": {-1.0: rooms.main.GAMMA, 1.0: 1.0}}

    def check(agent):
        for obs, expected in exact[task].items():
            action = float(agent.act(np.array([obs], np.float32), explore=False)[0])
            np.testing.assert_allclose(value(agent, obs, action), expected, rtol=0.05)

    train_in_a_box(rooms, probes.in_a_box(getattr(probes, task)()), 1200, check)


@pytest.mark.parametrize("task", ["acted_in_a_box", "both_in_a_box"])
def test_actors_find_the_best_action(rooms, task):
    env = getattr(probes, task)()

    def check(agent):
        for obs in env.observations:
            best = 0.5 if task == "acted_in_a_box" else obs - 1.0
            action = float(agent.act(np.array([obs], np.float32), explore=False)[0])
            assert action == pytest.approx(best, abs=0.2), "the box is 4 wide: 5 %"
            np.testing.assert_allclose(value(agent, obs, action), 1.0 - (action - best) ** 2, atol=0.1)

    train_in_a_box(rooms, env, 2000, check)


@pytest.fixture(params=[folder for folder in WITH_GOALS if folder not in Q_NETWORKS])
def rooms_with_goals(request):
    """A folder for goals and continuous actions, in which actions may be large."""
    rooms = load(request.param)
    rooms.main.NOISE_SIGMA, rooms.main.ACTION_L2 = 0.5, 0.0
    return rooms


@pytest.mark.parametrize("task", ["constant", "observed", "delayed"])
def test_critics_with_goals_learn_the_exact_values(rooms_with_goals, task):
    env = probes.with_a_goal(task, in_a_box=True)

    def check(agent):
        for (time, goal), (expected, _) in ANSWERS_WITH_A_GOAL[task].items():
            obs = torch.tensor([[0.0, goal, time]])
            expected = -rooms_with_goals.main.GAMMA if expected == "gamma" else expected
            action = torch.as_tensor(agent.act(obs.numpy(), explore=False))
            q = agent.critic(obs, (action - agent.center) / agent.half).item()
            assert q == pytest.approx(expected, rel=0.05)

    learn_from_replay(rooms_with_goals.main.make_agent(env, seed=0), env, 1500, check)


@pytest.mark.parametrize("task", ["acted_in_a_box", "both_in_a_box"])
def test_actors_with_goals_find_the_best_action(rooms_with_goals, task):
    env = probes.with_a_goal(task, in_a_box=True)

    def check(agent):
        for goal in (-1.0, 1.0):
            best = 0.5 if task == "acted_in_a_box" else goal - 1.0
            action = float(agent.act(np.array([0.0, goal, 0.0], np.float32), explore=False)[0])
            assert action == pytest.approx(best, abs=0.2), "the box is 4 wide: 5 %"

    learn_from_replay(rooms_with_goals.main.make_agent(env, seed=0), env, 2000, check)
