"""What falls or rises in a training spans the steps that were asked for, also when a run goes on with more of them."""

import numpy as np
import pytest
import torch
from folders import Q_NETWORKS, TABULAR, load, start_run, train
from lineage import FOLDERS, ROOT

RATES = [f for f in FOLDERS if "learning_steps" in (ROOT / f / "agent.py").read_text()]  # a learning rate that falls
ALONE = [folder for folder in RATES if folder != "A3C"]  # which learn in the process that trains
SMALL = {"HIDDEN": 8, "EVAL_EVERY": 10**9, "LEARNING_STARTS": 20, "BATCH_SIZE": 8, "CAPACITY": 500, "UPDATE_STEPS": 50,
         "N_ENVS": 4, "N_STEPS": 8, "N_EPOCHS": 2, "MINIBATCH_SIZE": 16, "REPLAY_RATIO": 0}  # fmt: skip
STEPS = 640  # twenty rollouts of eight steps in four environments


def small(folder):
    rooms = load(folder)
    vars(rooms.main).update({name: value for name, value in SMALL.items() if hasattr(rooms.main, name)})
    if folder == "ACER":
        rooms.main.CAPACITY = 4
    if folder == "DPPO":
        rooms.main.train = rooms.main.train.__wrapped__  # one worker
    return rooms


def rates_of(rooms, path, steps, resume=False):
    """Train; the learning rate of each update, by its number."""
    rates, step = {}, torch.optim.Adam.step

    def watched(optimizer, *arguments):
        rates[rooms.main.watched.updates] = optimizer.param_groups[0]["lr"]
        return step(optimizer, *arguments)

    run = start_run(rooms, path, steps, resume=resume)
    restore = run.restore

    def remember(agent):
        rooms.main.watched = restore(agent)
        agent.optimizer.step = watched.__get__(agent.optimizer)
        return agent

    run.restore = remember
    rooms.main.train(run, 0, steps)
    run.lock.release()
    return rates


def test_all_folders_with_a_schedule_are_here():
    assert len(RATES) == 11
    for folder in FOLDERS:
        assert "lr_scheduler" not in (ROOT / folder / "agent.py").read_text()


@pytest.mark.parametrize("folder", ALONE)
def test_the_learning_rate_spans_the_steps_asked_for_also_when_a_run_goes_on_with_more(folder, tmp_path):
    first = small(folder).main.LEARNING_RATE
    short = rates_of(small(folder), tmp_path / "run", STEPS)
    rest = rates_of(small(folder), tmp_path / "run", 2 * STEPS, resume=True)
    whole = rates_of(small(folder), tmp_path / "whole", 2 * STEPS)
    last = 0.55 if folder == "PolicyGradient(PG)" else 0.15  # PG's updates wait for an episode's end: there are fewer
    for rates in (short, whole, rest):
        assert min(rates.values()) >= 0
        assert rates[max(rates)] <= last * first
    assert short[0] == whole[0] == first
    half = max(short) + 1
    assert min(rest) == half, "it goes on counting"
    assert rest[half] == pytest.approx(first * (1 - half / small_horizon(folder, 2 * STEPS)))
    for rates, steps in ((short, STEPS), (whole, 2 * STEPS), (rest, 2 * STEPS)):
        for update, rate in rates.items():
            assert rate == pytest.approx(first * max(0, 1 - update / small_horizon(folder, steps)), abs=1e-12)


def small_horizon(folder, steps):
    """How many updates so many steps have, computed from the settings in SMALL."""
    updates = {"PolicyGradient(PG)": steps / 50, "ActorCritic": steps / 50, "A2C": steps / 32, "ACER": steps / 32}
    updates |= dict.fromkeys(("PPO", "DPPO"), steps / 32 * 2 * 2)
    return updates.get(folder, steps / (1 if folder == "DQNwithHER" else 8))  # TRAIN_EVERY of the DQN folders


def test_the_learning_rate_of_workers_without_locks_spans_the_steps_asked_for():
    rooms = load("A3C")
    env = rooms.main.make_env()
    for total in (400, 800):
        shared = rooms.main.make_agent(env, 0, total).share()
        agent, (obs, _) = shared.worker(0, 0), env.reset(seed=0)
        for _ in range(10):
            for _ in range(rooms.main.N_STEPS):
                agent.rollout.add(obs, 0, 1.0, obs, False, False)
            agent.learn(shared)
        assert int(shared.steps.sum()) == 200
        rate = shared.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(rooms.main.LEARNING_RATE * (1 - 200 / total))


@pytest.mark.parametrize("folder", RATES)
def test_the_horizon_is_not_saved(folder):
    rooms = small(folder)
    long, short = (rooms.main.make_agent(rooms.main.make_env(), 0, steps) for steps in (10_000, 1_000))
    short.load_state_dict(long.state_dict())
    assert short.learning_steps == pytest.approx(long.learning_steps / 10)


@pytest.mark.parametrize("folder", TABULAR)
def test_alpha_falls_to_zero_over_the_steps_asked_for(folder, tmp_path):
    rooms = load(folder)
    agent = train(rooms, tmp_path, 800)
    assert agent.alpha == pytest.approx(0.0, abs=1e-9)
    agent = train(load(folder), tmp_path, 1600, resume=True)
    assert agent.alpha == pytest.approx(0.0, abs=1e-9)
    agent = rooms.main.make_agent(rooms.main.make_env(), 0, 1600)
    agent.updates = 800
    assert agent.alpha == pytest.approx(rooms.main.ALPHA / 2)


@pytest.mark.parametrize("folder", Q_NETWORKS)
def test_epsilon_falls_over_its_share_of_the_steps_asked_for(folder):
    rooms = small(folder)
    env, main = rooms.main.make_env(), rooms.main
    obs = np.zeros((1, env.observation_space.shape[0]), np.float32)
    for steps in (500, 2000):
        agent = main.make_agent(env, 0, steps)
        whole = round(main.EPSILON_SHARE * steps)
        for _ in range(whole // 2):
            agent.act(obs)
        assert agent.epsilon == pytest.approx((main.EPSILON_START + main.EPSILON_END) / 2, abs=0.01)
        for _ in range(whole):
            agent.act(obs)
        assert agent.epsilon == pytest.approx(main.EPSILON_END)


def test_beta_of_prioritised_replay_reaches_one_at_the_end_of_the_steps_asked_for(rng):
    rooms = small("DQNwithPER")
    for steps in (400, 1600):
        replay = rooms.main.make_agent(rooms.main.make_env(), 0, steps).replay
        for i in range(40):
            replay.add(np.full(8, i), 0, 0.0, np.full(8, i), False)
        replay.update_priorities(np.arange(40), rng.normal(size=40))
        p = replay.priorities.leaves[:40] / replay.priorities.nodes[1]
        updates = steps // rooms.main.TRAIN_EVERY
        for draw in range(updates + 10):
            beta = min(1.0, 0.4 + 0.6 * draw / updates)
            _, index, weight = replay.sample_prioritized(16)
            expected = (40 * p[index]) ** -beta
            torch.testing.assert_close(weight, torch.tensor((expected / expected.max()).astype(np.float32)))
