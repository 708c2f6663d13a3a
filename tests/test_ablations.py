"""What benchmarks/ablations.py computes from its runs, on made-up ones whose answer is known."""

import math
import re
import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from lineage import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import ablations
import common


class Paid(gym.Env):
    """The action is paid as the reward."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    spec = SimpleNamespace(max_episode_steps=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        return self.np_random.normal(size=3).astype(np.float32), float(action[0]), False, False, {}


@pytest.mark.parametrize("critics", [1, 2])
def test_the_overestimation_is_the_critics_value_minus_the_discounted_return(critics, monkeypatch):
    """The return of 3 in every step is 3 / (1 - 0.5) = 6 from every state, also from the last before the limit."""

    def critic(obs, action):
        assert (action == 1).all()
        q = torch.full((len(obs),), 8.5)
        return q if critics == 1 else torch.stack([q, q - 99])

    agent = SimpleNamespace(
        act=lambda obs, explore: np.array([3.0 if not explore else 9.0]),
        actor=lambda obs: torch.ones(len(obs), 1),
        critic=critic,
        load_state_dict=lambda state: None,
    )
    main = SimpleNamespace(make_env=Paid, make_agent=lambda env, seed: agent, GAMMA=0.5)
    rooms = SimpleNamespace(main=main, checkpoint=SimpleNamespace(load=lambda path: {"agent": {}}))
    monkeypatch.setattr(ablations, "load", lambda place: rooms)
    assert ablations.overestimation("somewhere", "a run") == pytest.approx(2.5)


def test_reached_is_the_first_evaluation_of_each_seed_at_the_bar():
    def row(seed, step, value, tag="eval/score"):
        return common.Row("PPO", "as it is", seed, step, None, tag, value, "")

    rows = [row(20, 10, 5.0), row(20, 20, 7.0), row(20, 30, 9.0), row(21, 10, 6.9), row(20, 5, 8.0, "episode/return")]
    assert ablations.reached(rows, 7.0) == [20, math.inf]


@pytest.mark.parametrize("folder", ablations.VARIANTS)
def test_every_variant_can_be_made(folder, tmp_path):
    """Its constants exist, and its lines stand in the folder once; the files then differ."""
    for number, (name, variant) in enumerate(ablations.VARIANTS[folder].items()):
        new = ablations.copied(folder, tmp_path / str(number), variant)
        files = [path.name for path in (ROOT / folder).glob("*.py")]
        same = [(new / file).read_text() == (ROOT / folder / file).read_text() for file in files]
        assert not all(same), name
        if name.startswith("learning rate"):
            kept, changed = (
                re.findall(r"LEARNING_RATE = (\S+)", (of / "main.py").read_text()) for of in (ROOT / folder, new)
            )
            factor = 2.0 if name.endswith("doubled") else 0.5
            assert [float(rate) for rate in changed] == [factor * float(rate) for rate in kept]
        for file in files:
            compile((new / file).read_text(), file, "exec")
