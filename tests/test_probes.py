"""Every deep agent, made by its own main.py, on tasks so small that the answer is known."""

import numpy as np
import probes
import pytest
import torch
from folders import Q_NETWORKS, load

GAMMA = 0.99
# task -> what Q is at each observation, [observation][action]
ANSWERS = {
    "constant": {0.0: [1.0, 1.0]},
    "observed": {-1.0: [-1.0, -1.0], 1.0: [1.0, 1.0]},
    "delayed": {-1.0: [GAMMA, GAMMA], 1.0: [1.0, 1.0]},
    "acted": {0.0: [-1.0, 1.0]},
    "both": {-1.0: [1.0, -1.0], 1.0: [-1.0, 1.0]},
}


def learn_from_replay(agent, env, steps):
    """As in main.py: act, remember, learn."""
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        agent.replay.add(obs, action, reward, next_obs, terminated)
        obs = env.reset()[0] if terminated or truncated else next_obs
        if step >= 100:
            agent.learn()


@pytest.mark.parametrize("folder", Q_NETWORKS)
@pytest.mark.parametrize("task", ANSWERS)
def test_q_networks_learn_the_exact_values(folder, task):
    rooms = load(folder)
    assert rooms.main.GAMMA == GAMMA
    env = getattr(probes, task)()
    agent = rooms.main.make_agent(env, seed=0)
    learn_from_replay(agent, env, 1500)
    for obs, values in ANSWERS[task].items():
        obs = np.array([obs], np.float32)
        np.testing.assert_allclose(agent.q_net(torch.tensor(obs)).detach(), values, atol=0.05)
        if values[0] != values[1]:
            assert agent.act(obs, explore=False) == np.argmax(values)
