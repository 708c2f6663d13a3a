"""The small tasks of benchmarks/made_for.py: their transitions, and the values that count as exact."""

import sys

import lineage
import numpy as np
import pytest

sys.path.insert(0, str(lineage.ROOT / "benchmarks"))
import made_for

WALKS = [made_for.cliff_walk(n, np.random.default_rng(0)) for n in (2, 5)]


@pytest.mark.parametrize("task", [*WALKS, *map(made_for.corridor, (2, 5))])
def test_the_values_are_those_of_bellmans_optimality_equation(task):
    pairs = set()
    for obs, action, reward, next_obs, terminated in task.transitions:
        state, following = obs.argmax(), next_obs.argmax()
        target = reward + task.gamma * (not terminated) * task.values[following].max()
        assert task.values[state, action] == pytest.approx(target)
        pairs.add((state, action))
    assert len(pairs) == task.values.size, "every action was taken in every state"


def test_one_transition_of_the_cliff_walk_has_a_reward():
    for n, task in zip((2, 5), WALKS, strict=True):
        assert len(task.transitions) == 2 ** (n + 1) - 2
        assert sum(reward for _, _, reward, _, _ in task.transitions) == 1
