"""benchmarks/solve.py: when a run counts as at the bar, what its seconds are, and the table of them."""

import sys
from types import SimpleNamespace

import lineage
import numpy as np
import pytest
from folders import load

sys.path.insert(0, str(lineage.ROOT / "benchmarks"))
import readme
import solve


def played(few, many):
    """In place of a folder's evaluate(): the means over 50 and over 100 episodes in turn, and what was asked for."""
    asked, means = [], {50: iter(few), 100: iter(many)}

    def evaluate(agent, episodes, seed):
        assert agent.act(np.zeros(4, np.float32), explore=False) in (0, 1)
        asked.append((episodes, seed))
        return np.full(episodes, next(means[episodes]))

    return evaluate, asked


@pytest.mark.parametrize("side", solve.SIDES)
def test_a_run_stops_at_the_first_point_where_both_means_are_at_the_bar(side, monkeypatch):
    monkeypatch.setitem(solve.TASKS, "a2c", solve.TASKS["a2c"]._replace(every=80))
    rooms = load("A2C")
    rooms.main.evaluate, asked = played([474.9, 475.0, 475.0, 500.0], [474.9, 475.0, 500.0])
    done = solve.result("a2c", 7, side, 10_000, rooms)
    assert (done["env_steps"], done["trained_steps"]) == (240, 240)
    assert [episodes for episodes, _ in asked] == [50, 50, 100, 50, 100]
    assert dict(asked) == {50: 3_000_007, 100: 4_000_007}
    rooms.main.evaluate, asked = played([475.0] * 3, [400.0] * 3)
    done = solve.result("a2c", 7, side, 200, rooms)
    assert (done["env_steps"], done["trained_steps"], len(asked)) == (None, 200, 6)


def test_the_clock_stands_still_while_the_episodes_are_played(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(solve, "time", clock)

    def evaluate(agent, episodes, seed):
        clock.now += 100.0
        return np.full(episodes, float(agent))

    judge = solve.Judge(SimpleNamespace(evaluate=evaluate, SOLVED_SCORE=3.0), 0, every=10)
    for step in range(1, 100):
        clock.now += 1.0
        judge.look(step, lambda now=step // 10: now)
    assert (judge.judged, judge.seconds, clock.now) == (30, 30.0, 99 + 400.0)


def test_a_median_run_that_did_not_learn_is_a_bound():
    def runs(side, *of):
        about = {"folder": "PPO", "env_id": "Lander", "side": side, "machine": "m"}
        return [about | {"env_steps": reached and 10, "trained_steps": 10, "seconds": s} for reached, s in of]

    good = runs("ours", (True, 2.0), (True, 4.0), (None, 1.0))
    line = readme.sooner(good + runs("theirs", (None, 8.0), (True, 9.0), (None, 7.0)), zh=False).splitlines()[-1]
    assert line == "| PPO | Lander | 10 | 4.0 | > 10 | > 7.0 | > 1.8 | 2 / 3, 1 / 3 | m |"
    assert len(readme.sooner(good, zh=True).splitlines()) == 2
