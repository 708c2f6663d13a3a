"""Q-learning, Sarsa and Sarsa(λ) against answers computed in another way."""

import numpy as np
import pytest
from folders import TABULAR, load

SETTINGS = {"alpha": 0.5, "alpha_steps": 10**12, "gamma": 0.9, "epsilon": 0.3, "seed": 0}  # α hardly falls


def small_mdp(rng, n_states=5, n_actions=3):
    """Random transition probabilities [s, a, s'], rewards [s, a, s'] and terminal states [s]."""
    p = rng.dirichlet(np.ones(n_states), size=(n_states, n_actions))
    r = rng.normal(size=(n_states, n_actions, n_states))
    return p, r, np.arange(n_states) == n_states - 1


def value_iteration(p, r, terminal, gamma):
    q = np.zeros(p.shape[:2])
    for _ in range(1000):
        q = (p * (r + gamma * (~terminal * q.max(axis=1)))).sum(axis=2)
    return q


def test_q_learning_finds_the_exact_optimal_values(rng):
    agent = load("QLearning").agent.Agent(5, 3, **{**SETTINGS, "alpha": 0.05, "alpha_steps": 400_000})
    p, r, terminal = small_mdp(rng)
    cumulative = p.cumsum(axis=2)
    draws = rng.random(400_000)
    for i, draw in enumerate(draws):  # every pair in turn: convergence needs no more than that each is tried for ever
        state, action = divmod(i % 12, 3)
        next_state = int(min(np.searchsorted(cumulative[state, action], draw), 4))
        agent.learn(state, action, r[state, action, next_state], next_state, terminal[next_state])
    np.testing.assert_allclose(agent.q.values[:4], value_iteration(p, r, terminal, 0.9)[:4], atol=0.1)


def test_q_learning_target_by_hand():
    agent = load("QLearning").agent.Agent(3, 2, **SETTINGS)
    agent.q.values[:] = [[1, 2], [3, 5], [7, 11]]
    drawn = agent.learn(0, 1, -1.0, 1, False)  # target -1 + 0.9 * max(3, 5) = 3.5; error 1.5
    assert agent.q.values[0, 1] == pytest.approx(2.75)
    assert drawn["loss/td_error"] == pytest.approx(1.5)
    agent.learn(1, 0, -1.0, 2, True)  # target -1: nothing follows a terminal state
    assert agent.q.values[1, 0] == pytest.approx(1.0)
    assert agent.q.values[[0, 1, 2, 2], [0, 1, 0, 1]].tolist() == [1, 5, 7, 11]


@pytest.mark.parametrize("folder", ["Sarsa", "SarsaLambda"])
def test_sarsa_target_by_hand(folder):
    extra = {"lambda_": 0.0, "trace": "replacing"} if folder == "SarsaLambda" else {}
    agent = load(folder).agent.Agent(3, 2, **SETTINGS, **extra)
    agent.q.values[:] = [[1, 2], [3, 5], [7, 11]]
    agent.learn(0, 1, -1.0, 1, 0, False)  # target -1 + 0.9 * 3 = 1.7, of the action taken, not of the best
    assert agent.q.values[0, 1] == pytest.approx(1.85)
    agent.learn(1, 0, -1.0, 2, 1, True)
    assert agent.q.values[1, 0] == pytest.approx(1.0)
    assert agent.q.values[[0, 1, 2, 2], [0, 1, 0, 1]].tolist() == [1, 5, 7, 11]


def forward_view(q, states, actions, rewards, gamma, lambda_, first_visit_wins):
    """Offline λ-return updates (Sutton & Barto, section 12.1) of one episode that terminates: sums of G^λ - q, [s, a].

    G_t^λ = (1 - λ) Σ_n λ^(n-1) G_t:t+n + λ^(T-t-1) G_t. With replacing traces the sum for a pair ends, for each of its
    visits, where the next visit to the same pair begins.
    """
    length, change = len(rewards), np.zeros_like(q)
    deltas = [
        rewards[t] + (gamma * q[states[t + 1], actions[t + 1]] if t + 1 < length else 0) - q[states[t], actions[t]]
        for t in range(length)
    ]
    for t in range(length):
        if not first_visit_wins:
            n_step = [
                sum(gamma**k * rewards[t + k] for k in range(n))
                + (gamma**n * q[states[t + n], actions[t + n]] if t + n < length else 0)
                for n in range(1, length - t + 1)
            ]
            weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, length - t)] + [lambda_ ** (length - t - 1)]
            change[states[t], actions[t]] += np.dot(weights, n_step) - q[states[t], actions[t]]
        else:
            for k in range(t, length):
                if k > t and (states[k], actions[k]) == (states[t], actions[t]):
                    break
                change[states[t], actions[t]] += (gamma * lambda_) ** (k - t) * deltas[k]
    return change


@pytest.mark.parametrize("trace", ["accumulating", "replacing", "dutch"])
def test_backward_view_equals_the_forward_lambda_return(trace, rng):
    alpha, gamma, lambda_ = 1e-9, 0.9, 0.8  # so small a step that the table stands still within the episode
    settings = {**SETTINGS, "alpha": alpha, "gamma": gamma}
    agent = load("SarsaLambda").agent.Agent(4, 2, **settings, lambda_=lambda_, trace=trace)
    agent.q.values[:] = q = rng.normal(size=(4, 2))
    states, actions, rewards = rng.integers(4, size=12), rng.integers(2, size=12), rng.normal(size=12)
    before = q.copy()
    agent.traces[:] = 5.0  # left over from an episode before
    agent.begin_episode()
    for t in range(12):
        last = t == 11
        following = (0, 0) if last else (int(states[t + 1]), int(actions[t + 1]))
        agent.learn(int(states[t]), int(actions[t]), rewards[t], *following, last)
    change = (agent.q.values - before) / alpha
    expected = forward_view(before, states, actions, rewards, gamma, lambda_, trace == "replacing")
    np.testing.assert_allclose(change, expected, atol=1e-4)


def test_traces_by_hand():
    """Two visits to one pair in a row: 1 + γλ, 1, and 1 + γλ (1 - α) in the three traces."""
    for trace, expected in [("accumulating", 1.45), ("replacing", 1.0), ("dutch", 1.45 - 0.5 * 0.45)]:
        agent = load("SarsaLambda").agent.Agent(2, 2, **SETTINGS, lambda_=0.5, trace=trace)
        agent.learn(0, 0, 0.0, 0, 0, False)
        agent.learn(0, 0, 0.0, 1, 0, False)
        assert agent.traces[0, 0] == pytest.approx(expected)


def test_unknown_trace_is_refused():
    with pytest.raises(ValueError, match="unknown trace"):
        load("SarsaLambda").agent.Agent(2, 2, **SETTINGS, lambda_=0.5, trace="eager")


@pytest.mark.parametrize("folder", TABULAR)
def test_epsilon_greedy(folder):
    extra = {"lambda_": 0.0, "trace": "replacing"} if folder == "SarsaLambda" else {}
    agent = load(folder).agent.Agent(2, 4, **SETTINGS, **extra)
    agent.q.values[:] = [[0, 0, 1, 0], [3, 0, 0, 0]]
    states = np.array([0, 1] * 20_000)
    assert (agent.act(states, explore=False) == [2, 0] * 20_000).all()
    assert agent.act(0, explore=False) == 2
    greedy = (agent.act(states) == [2, 0] * 20_000).mean()
    assert greedy == pytest.approx(1 - 0.3 * 3 / 4, abs=0.01)


@pytest.mark.parametrize("folder", TABULAR)
def test_alpha_falls_to_zero(folder):
    extra = {"lambda_": 0.0, "trace": "replacing"} if folder == "SarsaLambda" else {}
    agent = load(folder).agent.Agent(2, 2, **{**SETTINGS, "alpha_steps": 4}, **extra)
    seen = []
    for _ in range(6):
        seen.append(agent.alpha)
        agent.learn(*((0, 0, 0.0, 1, False) if folder == "QLearning" else (0, 0, 0.0, 1, 0, False)))
    assert seen == pytest.approx([0.5, 0.375, 0.25, 0.125, 0.0, 0.0])


def with_table(folder, q, env_id="CliffWalking-v1"):
    """An agent with these values, and its task."""
    rooms = load(folder)
    rooms.main.ENV_ID = env_id
    agent = rooms.main.make_agent(env := rooms.main.make_env(), 0)
    agent.q.values[:] = q
    return rooms.picture, agent, env


def test_greedy_path_and_arrows():
    q = np.zeros((48, 4))
    q[36, 0] = q[35, 2] = 1
    q[24:35, 1] = 1
    picture, agent, env = with_table("QLearning", q)
    assert picture.greedy_path(agent, env) == [36, *range(24, 36), 47]
    assert picture.beside_cliff(agent, env) == 10
    assert picture.arrows(agent, env).splitlines()[2:] == ["→ → → → → → → → → → → ↓", "↑ # # # # # # # # # # G"]
    agent.q.values[24, 3] = 2  # against the wall, until the time is up
    assert set(picture.greedy_path(agent, env)) == {36, 24}
    assert picture.heat_map(agent, env).dtype == np.uint8


@pytest.mark.parametrize("folder", TABULAR)
def test_greedy_path_is_what_the_environment_does(folder):
    for seed in range(20):
        picture, agent, env = with_table(folder, np.random.default_rng(seed).normal(size=(48, 4)))
        state, _ = env.reset(seed=0)
        walked, done = [state], False
        while not done:
            state, _, terminated, truncated, _ = env.step(int(agent.q.values[state].argmax()))
            walked.append(state)
            done = terminated or truncated
        assert picture.greedy_path(agent, env) == walked


@pytest.mark.parametrize("folder", TABULAR)
def test_equal_values_are_drawn_from_while_exploring_and_not_in_evaluation(folder):
    _, agent, _ = with_table(folder, np.tile([1.0, 3.0, 3.0, 2.0], (48, 1)))
    agent.epsilon = 0.0
    drawn = np.bincount([agent.act(5) for _ in range(2000)], minlength=4)
    assert drawn[[0, 3]].tolist() == [0, 0]
    assert abs(drawn[1] - 1000) < 150
    batch = agent.act(np.full(2000, 5))
    assert set(batch) == {1, 2}
    assert {int(agent.act(5, explore=False)) for _ in range(20)} == {1}
