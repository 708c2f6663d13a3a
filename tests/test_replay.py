"""The replay memories: plain and prioritised."""

import time

import numpy as np
import pytest
import scipy.stats
from folders import DEEP, load
from lineage import FOLDERS, ROOT

REPLAYS = {folder: ROOT / folder / "replay.py" for folder in DEEP}
WITH_REPLAY = [f for f, path in REPLAYS.items() if path.exists() and "class ReplayBuffer" in path.read_text()]
PER = pytest.mark.skipif("DQNwithPER" not in FOLDERS, reason="the folder is not there")


def fill(buffer, n, obs_dim=3):
    """Transition i: obs i, i+1/2, i+1/4; action i % 4; reward -i; next obs the obs of i + 1; terminated every tenth."""
    for i in range(n):
        obs = np.array([i, i + 0.5, i + 0.25], np.float32)
        buffer.add(obs, i % 4, -float(i), obs + 1, i % 10 == 9)


def buffer_of(folder, capacity):
    replay = load(folder).replay
    if folder == "DQNwithPER":
        return replay.PrioritizedReplayBuffer(capacity, 3, np.int64, np.random.default_rng(0), 0.6, 0.4, 1000)
    return replay.ReplayBuffer(capacity, 3, np.int64, np.random.default_rng(0))


@pytest.mark.parametrize("folder", WITH_REPLAY)
@pytest.mark.parametrize("added", [1, 7, 10, 23, 1000])
def test_wrap_around_keeps_the_newest_and_whole_transitions(folder, added):
    buffer = buffer_of(folder, 10)
    fill(buffer, added)
    assert len(buffer) == min(added, 10)
    batch = buffer.sample(2000)
    i = batch.obs[:, 0]
    assert set(i.int().tolist()) == set(range(max(0, added - 10), added))
    np.testing.assert_array_equal(batch.obs, np.stack([i, i + 0.5, i + 0.25], axis=1))
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)  # never the observation of another transition
    np.testing.assert_array_equal(batch.action, i.long() % 4)
    np.testing.assert_array_equal(batch.reward, -i)
    np.testing.assert_array_equal(batch.terminated, (i % 10 == 9).float())


@pytest.mark.parametrize("folder", WITH_REPLAY)
def test_samples_are_uniform(folder):
    buffer = buffer_of(folder, 50)
    fill(buffer, 70)
    counts = np.bincount(buffer.sample(50_000).obs[:, 0].int().numpy() - 20, minlength=50)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("folder", WITH_REPLAY)
def test_memory_is_as_predicted(folder):
    buffer = buffer_of(folder, 1000)
    per_transition = 4 * 3 + 8 + 4 + 4 * 3 + 4  # obs, action, reward, next_obs, terminated
    assert per_transition <= buffer.transitions.nbytes / 1000 <= per_transition + 8  # the fields are aligned
    before = buffer.transitions.ctypes.data
    fill(buffer, 2500)
    assert buffer.transitions.ctypes.data == before, "all memory is taken at the start"


@pytest.mark.parametrize("folder", WITH_REPLAY)
def test_sampling_does_not_slow_down_with_size(folder):
    def seconds(capacity):
        buffer = buffer_of(folder, capacity)
        fill(buffer, min(capacity, 2000))
        buffer.added = capacity
        runs = []
        for _ in range(7):
            begin = time.process_time()
            for _ in range(200):
                buffer.sample(64)
            runs.append(time.process_time() - begin)
        return min(runs)

    assert seconds(200_000) < 5 * seconds(2000), "sampling takes O(batch), not O(capacity)"


@pytest.mark.parametrize("folder", WITH_REPLAY)
def test_state_dict_round_trip(folder):
    buffer, other = buffer_of(folder, 10), buffer_of(folder, 10)
    fill(buffer, 13)
    other.load_state_dict(buffer.state_dict())
    assert other.added == 13
    np.testing.assert_array_equal(other.transitions, buffer.transitions)
    fill(other, 1)
    assert other.transitions[3]["reward"] == 0  # goes on where the first stopped: 13 % 10
    for wrong in (buffer_of(folder, 9), buffer_of(folder, 30)):
        with pytest.raises(ValueError, match="broadcast"):
            wrong.load_state_dict(buffer.state_dict())


@PER
@pytest.mark.parametrize("capacity", [1, 2, 3, 8, 100, 129])
def test_sum_tree_against_a_linear_scan(capacity, rng):
    tree, plain = load("DQNwithPER").replay.SumTree(capacity), np.zeros(capacity)
    for _ in range(200):
        index = rng.integers(capacity, size=rng.integers(1, 9))
        index, value = np.unique(index), rng.exponential(size=len(np.unique(index)))
        tree[index], plain[index] = value, value
        one = int(rng.integers(capacity))
        tree[one] = plain[one] = rng.exponential()
        np.testing.assert_allclose(tree.nodes[1], plain.sum())
        np.testing.assert_array_equal(tree.leaves[:capacity], plain)
        mass = rng.random(20) * plain.sum() * (1 - 1e-9)
        scan = [next(i for i in range(capacity) if plain[: i + 1].sum() > m) for m in mass]
        np.testing.assert_array_equal(tree.find(mass), scan)


@PER
def test_sampling_frequencies_are_p_alpha_over_sum(rng):
    buffer = buffer_of("DQNwithPER", 50)
    fill(buffer, 70)
    td_error = rng.normal(size=50) * 3
    buffer.update_priorities(np.arange(50), td_error)
    expected = (np.abs(td_error) + 1e-6) ** 0.6
    expected /= expected.sum()
    # one at a time: strata within a batch make the counts more regular than independent draws
    index = np.concatenate([buffer.sample_prioritized(1)[1] for _ in range(20_000)])
    assert scipy.stats.chisquare(np.bincount(index, minlength=50), 20_000 * expected).pvalue > 1e-4
    batch, index, _ = buffer.sample_prioritized(5000)
    np.testing.assert_allclose(np.bincount(index, minlength=50) / 5000, expected, atol=2.1 / 5000)  # stratified
    np.testing.assert_array_equal(batch.reward, buffer.transitions["reward"][index])


@PER
def test_importance_weights_by_formula(rng):
    buffer = buffer_of("DQNwithPER", 64)
    fill(buffer, 40)
    td_error = rng.normal(size=40)
    buffer.update_priorities(np.arange(40), td_error)
    p = (np.abs(td_error) + 1e-6) ** 0.6
    for sampling in range(3):
        beta = 0.4 + sampling * 0.6 / 1000
        _, index, weight = buffer.sample_prioritized(32)
        expected = (40 * p / p.sum()) ** -beta
        np.testing.assert_allclose(weight, expected[index] / expected[index].max(), rtol=1e-5)


@PER
def test_new_transitions_have_the_highest_priority_and_wrap_around():
    buffer = buffer_of("DQNwithPER", 8)
    fill(buffer, 8)
    assert set(buffer.priorities.leaves) == {1.0}
    buffer.update_priorities(np.array([2, 5]), np.array([-32.0, 0.0]))
    assert buffer.priorities.leaves[2] == pytest.approx(32**0.6)
    assert buffer.priorities.leaves[5] == pytest.approx(1e-6**0.6)
    fill(buffer, 2)  # overwrites the two oldest
    assert buffer.priorities.leaves[0] == buffer.priorities.leaves[1] == pytest.approx(32**0.6)
    assert buffer.priorities.leaves[3] == 1.0


@PER
def test_priorities_survive_a_checkpoint():
    buffer, other = buffer_of("DQNwithPER", 8), buffer_of("DQNwithPER", 8)
    fill(buffer, 11)
    buffer.update_priorities(np.arange(8), np.arange(8.0))
    buffer.sample_prioritized(4)
    other.load_state_dict(buffer.state_dict())
    np.testing.assert_array_equal(other.priorities.nodes, buffer.priorities.nodes)
    assert (other.draws, other.max_priority) == (buffer.draws, buffer.max_priority)
    assert (other.draws, other.max_priority) == (1, pytest.approx(7**0.6, rel=1e-5))
