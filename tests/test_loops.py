"""The loops in main.py: what the memory, `learn`, `act` and the task are given, step by step, in all folders.

Each loop is driven on a task of which every number is known. Then single mistakes are put into it, one at a time, and
the same checks have to find each of them.
"""

import contextlib
import functools
import itertools
import os
import sys
import types

import numpy as np
import pytest
import scripted
import torch
from folders import CONTINUOUS, Q_NETWORKS, TABULAR, WITH_GOALS, importable, load
from lineage import FOLDERS, ROOT
from scripted import HIGH, LENGTHS, LOW, N_SKILLS, Run, of

SARSAS = ["Sarsa", "SarsaLambda"]
CLIPPED = ["PPO", "TRPO", "DPPO"]
VECTOR = ["A2C", "ACER", *CLIPPED]
RANDOM_FIRST = [*CONTINUOUS, "DDPGwithHER", "DIAYN"]
REPLAY = [*Q_NETWORKS, *RANDOM_FIRST]
BEGINS = {"SarsaLambda": "begin_episode", "DeepDeterministicPolicyGradient": "noise", "TD3": "noise"}
BEGINS |= dict.fromkeys(WITH_GOALS, "end_episode")
SEED, STEPS = 5, 66  # three times all of LENGTHS
SETTINGS = {"ENV_SETTINGS": {}, "HIDDEN": 8, "CAPACITY": 200, "LEARNING_STARTS": 12, "TRAIN_EVERY": 4, "N_ENVS": 3,
            "N_STEPS": 4, "EVAL_EVERY": 10, "N_SKILLS": N_SKILLS, "N_WORKERS": 2, "RANDOM_ACTIONS": 0.0}  # fmt: skip
rooms_of = functools.cache(load)


def main_of(folder, file="main.py", source=None):
    """The folder's main, made anew, with `source` in place of one of its files if there is one."""
    rooms = rooms_of(folder)
    with importable(folder, rooms):
        for name in dict.fromkeys([file, "main.py"]):
            module = sys.modules[name.removesuffix(".py")] = types.ModuleType(name.removesuffix(".py"))
            text = source if name == file and source else (ROOT / folder / name).read_text()
            exec(compile(text, str(ROOT / folder / name), "exec"), vars(module))
    return module


def set_up(main, folder, act=None, rank=0, count=1, **settings):
    """Set the constants of `main` so that it has a scripted task, and take its pictures away."""
    observe = "states" if folder in TABULAR else "goals" if folder in WITH_GOALS else "numbers"
    act = act or ("continuous" if folder in [*CLIPPED, *RANDOM_FIRST] else "discrete")
    main.ENV_ID = scripted.register(observe, act)
    for name, value in (SETTINGS | {"UPDATE_STEPS": 4 if folder == "ActorCritic" else 5} | settings).items():
        if hasattr(main, name):
            setattr(main, name, value)
    if folder in TABULAR:
        main.picture = types.SimpleNamespace(heat_map=lambda *_: None, arrows=lambda *_: "")
    if folder == "DIAYN":
        main.picture = lambda *_: None
    if folder == "DPPO":
        main.workers = types.SimpleNamespace(rank=lambda: rank, count=lambda: count)
    scripted.begin()


def drive(main, folder, first, total, spill=False):
    """Train from step `first` on. What happened before the first step, and in each step."""
    make_agent = main.make_agent
    main.make_agent = lambda env, *given: (scripted.note("make_agent", *given), make_agent(env, *given))[1]
    train = main.train.__wrapped__ if folder == "DPPO" else main.train
    with contextlib.redirect_stdout(None):
        train(Run(first, spill), SEED, total)
    main.make_agent = make_agent
    before, steps, after = scripted.parts()
    spans = () if folder in ["TRPO", *RANDOM_FIRST] else (total,)
    assert of("make_agent", before) == [(SEED, *spans)], "schedules span the steps that were asked for"
    assert {event[0] for event in after} <= {"end", "closed"}, "nothing is done after the last step"
    return before, steps


def same(a, b):
    """Whether two numbers or rows are the same, whatever their types."""
    return np.array_equal(np.asarray(a, np.float32), np.asarray(b, np.float32))


def one(kind, events):
    """What the only event of one kind says."""
    found = of(kind, events)
    assert len(found) == 1, kind
    return found[0]


def check_stored(stored, expected):
    for mine, right in zip(stored, expected, strict=True):
        assert same(mine, right)


def check_drawn(main, folder, first, by, steps):
    """The numbers drawn are those of the step. Evaluations come where a multiple was passed, and last."""
    rewards = {}
    for step, events in enumerate(steps):
        step, expected, ended = first + (step + 1) * by, {}, []
        for *_, drawn in of("learn", events) + of("told", events):
            expected |= drawn
        for number, taken in of("step", events):
            rewards.setdefault(number, []).append(taken.reward)
            if taken.over:
                ended.append(rewards.pop(number))
                expected |= {"episode/success": float(taken.success)} if folder in WITH_GOALS else {}
        if ended:
            expected["episode/return"] = np.mean([sum(one) for one in ended])
            expected["episode/length"] = np.mean([len(one) for one in ended])
        logged = of("log", events)
        tags = [tag for _, values in logged for tag in values]
        assert {at for at, _ in logged} <= {step}
        assert len(set(tags)) == len(tags)
        assert {tag: value for _, values in logged for tag, value in values.items()} == pytest.approx(expected)
        passed = step // main.EVAL_EVERY > (step - by) // main.EVAL_EVERY
        assert of("evaluate", events) == [(step, folder not in TABULAR)] * passed
        assert not passed or events[-1][0] == "evaluate"


def check_one_environment(main, folder, first):
    before, steps = drive(main, folder, first, first + STEPS)
    assert of("steps", before) == [(first + STEPS, 1)]
    assert len(steps) == STEPS
    assert [(number, seed) for number, seed, _ in of("reset", before)] == [(0, SEED)]
    assert of("seed", before) == [(SEED,)] * (folder in RANDOM_FIRST)
    assert not of("step", before)
    assert all(explore for _, explore, _ in of("act", scripted.happened)), "all actions explore"
    if folder in SARSAS:
        check_actions_of_sarsa(before, steps)
    else:
        check_actions(main, folder, first, before, steps)
    check_memory(main, folder, first, steps)
    check_episodes(folder, before, steps)
    check_drawn(main, folder, first, 1, steps)


def check_actions(main, folder, first, before, steps):
    """The action executed is the one chosen for what the task showed last, or a random one before learning starts."""
    assert not of("act", before)
    for step, events in enumerate(steps, first + 1):
        number, taken = one("step", events)
        assert number == 0
        if folder in RANDOM_FIRST and step <= main.LEARNING_STARTS:
            assert not of("act", events)
            (action,) = one("sample", events)
        else:
            assert not of("sample", events)
            obs, _, action = one("act", events)
            assert same(obs, taken.obs)
        assert same(action, taken.action)


def check_actions_of_sarsa(before, steps):
    """The next action, in the target, is the one executed next; a new episode begins with an action of its own."""
    *_, obs = one("reset", before)
    acted_on, _, action = one("act", before)
    assert same(acted_on, obs)
    for events in steps:
        (_, taken), (_, learned, _), acts = one("step", events), one("learn", events), of("act", events)
        assert same(taken.action, action)
        assert len(acts) == 1 + taken.over
        acted_on, _, action = acts[0]
        assert same(acted_on, taken.next_obs)
        assert same(action, learned[4])
        if taken.over:
            (acted_on, _, action), (*_, obs) = acts[1], one("reset", events)
            assert same(acted_on, obs)


def check_memory(main, folder, first, steps):
    """Each step is stored as it was, and learned from when it is time."""
    stored = 0
    for step, events in enumerate(steps, first + 1):
        (_, taken), learned = one("step", events), of("learn", events)
        stored += 1
        if folder in TABULAR:
            _, given, _ = one("learn", events)
            given = [value for i, value in enumerate(given) if i != 4 or folder not in SARSAS]
            check_stored(given, (taken.obs, taken.action, taken.reward, taken.next_obs, taken.terminated))
            continue
        given = one("add", events)
        if folder == "PolicyGradient(PG)":
            check_stored(given, (taken.obs, taken.action, taken.reward, taken.over))
            due = taken.over and stored >= main.UPDATE_STEPS
        else:
            reward = 0.0 if folder == "DIAYN" else taken.reward
            check_stored(given, (taken.obs, taken.action, reward, taken.next_obs, taken.terminated))
            due = step >= main.LEARNING_STARTS and step % main.TRAIN_EVERY == 0 if folder in REPLAY else stored == 4
        assert [given[:2] for given in learned] == [(stored, ())] * due
        stored = 0 if due and folder not in REPLAY else stored


def check_episodes(folder, before, steps):
    """However an episode ended, a new one begins, and with it all that must not reach from one into another."""
    begins, ending = BEGINS.get(folder), "learn" if folder in TABULAR else "add"
    assert len(of("begin_episode", before)) == (folder == "SarsaLambda")
    for events in steps:
        (_, taken), kinds = one("step", events), [event[0] for event in events]
        assert [seed for _, seed, _ in of("reset", events)] == [None] * taken.over
        assert {"begin_episode", "noise", "end_episode"} & {*kinds} == ({begins} if begins and taken.over else set())
        if begins and taken.over:
            assert kinds.count(begins) == 1
            assert kinds.index(ending) < kinds.index(begins)


def check_random_actions(main, folder):
    """The share RANDOM_ACTIONS of all actions is drawn from the box."""
    for share, least, most in ((1.0, 100, 100), (0.25, 10, 40)):
        set_up(main, folder, RANDOM_ACTIONS=share)
        _, steps = drive(main, folder, 0, 112)
        drawn = 0
        for events in steps[12:]:
            (_, taken), sampled, acts = one("step", events), of("sample", events), of("act", events)
            assert len(sampled) + len(acts) == 1
            assert same((sampled + acts)[0][-1], taken.action)
            drawn += len(sampled)
        assert least <= drawn <= most


def check_many_environments(main, folder, first, rounds=36, rank=0, count=1, act=None, **settings):
    spill = folder in CLIPPED and act != "discrete"
    set_up(main, folder, act, rank, count, **settings)
    n, by = main.N_ENVS, main.N_ENVS * count
    before, steps = drive(main, folder, first, first + rounds * by, spill)
    assert of("steps", before) == [(first + rounds * by, by)]
    assert len(steps) == rounds
    assert [(number, seed) for number, seed, _ in of("reset", before)] == [
        (i, SEED + 1000 * rank + i) for i in range(n)
    ]
    assert all(explore for _, explore, _ in of("act", scripted.happened)), "all actions explore"
    drawn_inside, stored = set(), 0
    for events in steps:
        (obs, _, action), given = one("act", events), one("add", events)
        numbers, taken = zip(*of("step", events), strict=True)
        obs_was, executed, reward, next_obs, terminated, over, _ = (np.array(part) for part in zip(*taken, strict=True))
        assert numbers == tuple(range(n))
        assert same(obs, obs_was)
        assert same(executed, action.clip(LOW, HIGH) if spill else action), "the task allows what it is given"
        reward = getattr(main, "REWARD_SCALE", 1.0) * reward
        check_stored(given, (obs_was, action, reward, next_obs, terminated, over))
        assert [(i, None) for i in range(n) if over[i]] == [(i, seed) for i, seed, _ in of("reset", events)]
        drawn_inside |= {*((action >= LOW) & (action <= HIGH)).ravel()} if spill else set()
        stored += 1
        due = stored == main.N_STEPS
        assert [given[:2] for given in of("learn", events)] == [(stored, ())] * due
        stored = 0 if due else stored
    assert drawn_inside == ({True, False} if spill else set())
    check_drawn(main, folder, first, by, steps)


class Enough(Exception):
    pass


def check_worker(main, rank):
    """One of A3C's workers. Returns the seed of its environment."""
    set_up(main, "A3C")
    shared = main.make_agent(main.make_env(), SEED, STEPS).share()
    make, n, times = shared.worker, main.N_STEPS, itertools.count(1)

    def worker(*given):
        agent = make(*given)
        agent.shared = shared
        scripted.note("worker", *given)
        return scripted.watched(agent)

    def report(values):
        scripted.note("report", values)
        if next(times) == 18:
            raise Enough

    shared.worker = worker
    scripted.begin()
    with pytest.raises(Enough):
        main.work(rank, report, shared, SEED)
    acts, steps, adds, learned, reports, resets = (
        of(kind, scripted.happened) for kind in ("act", "step", "add", "learn", "report", "reset")
    )
    assert of("worker", scripted.happened) == [(rank, SEED)]
    for (obs, explore, action), (_, taken), given in zip(acts, steps, adds, strict=True):
        assert explore
        assert same(obs, taken.obs)
        assert same(action, taken.action)
        check_stored(given, (*taken[:5], taken.over))
    assert len(steps) == 18 * n
    assert [seed for _, seed, _ in resets[1:]] == [None] * sum(taken.over for _, taken in steps)
    assert [given[:2] for given in learned] == [(n, (True,))] * 18, "it learns into the shared agent"
    rewards = []
    for i, ((values,), (*_, drawn)) in enumerate(zip(reports, learned, strict=True)):
        expected = dict(drawn)
        for _, taken in steps[i * n : (i + 1) * n]:
            rewards.append(taken.reward)
            if taken.over:
                expected |= {"episode/return": sum(rewards), "episode/length": len(rewards)}
                rewards = []
        assert values == pytest.approx(expected)
    return resets[0][1]


def check_first_process(main, first, rounds=30, **settings):
    """The one of A3C's processes that counts, draws and evaluates; it ends the others."""
    set_up(main, "A3C", **settings)

    def reports(*given):
        scripted.note("reports", *given)
        try:
            for i in range(10**6):
                values = {"loss/scripted": float(i)}
                scripted.note("told", values)
                yield values
        finally:
            scripted.note("closed")

    main.workers = types.SimpleNamespace(reports=reports)
    before, steps = drive(main, "A3C", first, first + rounds * main.N_STEPS)
    assert of("steps", before) == [(first + rounds * main.N_STEPS, main.N_STEPS)]
    (agent,) = one("restore", before)
    assert of("reports", scripted.happened) == [(main.work, main.N_WORKERS, agent, SEED)]
    assert all(parameter.is_shared() for parameter in agent.parameters)
    assert [len(of("told", events)) for events in steps] == [1] * rounds
    assert scripted.happened[-1] == ("closed",)
    check_drawn(main, "A3C", first, main.N_STEPS, steps)


def check_evaluation(main, folder):
    """Episodes of its own, the first with the seed given, each scored alone; nothing is learned or explored."""
    set_up(main, folder)
    env = main.make_env()
    agent = scripted.watched(main.make_agent(env, 0))

    def skill_seen(trajectory):
        scripted.note("trajectory", trajectory)
        skill, episode = trajectory[0, 1:].argmax(), trajectory[0, 0] // 10 % 10
        return skill if episode in (0, 3) else (skill + 1) % N_SKILLS

    agent.skill_seen = skill_seen
    for episodes, given in ((5, None), (2, env)):
        scripted.begin()
        scores = main.evaluate(agent, episodes, 77, given) if given else main.evaluate(agent, episodes, 77)
        resets, acts, steps, trajectories = (
            of(kind, scripted.happened) for kind in ("reset", "act", "step", "trajectory")
        )
        assert len(resets) + len(acts) + len(steps) + len(trajectories) == len(scripted.happened)
        assert next(scripted.numbers["environment"]) == (given is None), "it plays in the environment that it is given"
        assert [seed for _, seed, _ in resets] == [77] + [None] * (episodes - 1)
        for (obs, explore, action), (_, taken) in zip(acts, steps, strict=True):
            assert not explore
            assert same(obs, taken.obs)
            assert same(action, taken.action)
        ends = np.cumsum(LENGTHS[:episodes])
        assert len(steps) == ends[-1]
        played = [[taken for _, taken in steps[end - length : end]] for end, length in zip(ends, LENGTHS, strict=False)]
        expected = [sum(taken.reward for taken in episode) for episode in played]
        if folder in WITH_GOALS:
            expected = [1, 0, 0, 1, 0]
        if folder == "DIAYN":
            expected = [1, 0, 0, 1, 0]
            for i, (episode, (trajectory,)) in enumerate(zip(played, trajectories, strict=True)):
                assert same(trajectory, [*(taken.obs for taken in episode), episode[-1].next_obs])
                assert trajectory[0, 1:].tolist() == np.eye(N_SKILLS)[(77 + i) % N_SKILLS].tolist()
        assert scores.tolist() == expected[:episodes]


def check_required(main):
    """Sarsa's greedy path is not to be beside the cliff, in the task that has one."""
    agent = main.make_agent(main.make_env(), 0)
    up, right, down = 0, 1, 2
    for row, safe in ((2, False), (1, True), (0, True)):
        agent.q.values[:] = 0
        agent.q.values[12 * row : 12 * row + 11, right] = 1
        agent.q.values[12 * (row + 1) : 37 : 12, up] = 1
        agent.q.values[12 * row + 11 : 36 : 12, down] = 1
        assert main.also_required(agent) is safe
    cliff_walking, picture = main.ENV_ID, main.picture
    main.ENV_ID, main.picture = (
        scripted.register("states", "discrete"),
        types.SimpleNamespace(beside_cliff=lambda *_: 1),
    )
    assert main.also_required(agent) is True
    main.ENV_ID, main.picture = cliff_walking, picture


def check(main, folder):
    """All checks of a folder's loops."""
    if folder in SARSAS:
        check_required(main)
    check_evaluation(main, folder)
    if folder == "A3C":
        assert check_worker(main, 0) != check_worker(main, 1), "no two play the same episodes"
        check_first_process(main, 0)
    elif folder in VECTOR:
        for act in ("continuous", "discrete") if folder in CLIPPED else ("discrete",):
            check_many_environments(main, folder, 0, act=act)
        if folder == "DPPO":
            check_many_environments(main, folder, 0, rank=2, count=3)
    else:
        for first in (0, 31):
            set_up(main, folder)
            check_one_environment(main, folder, first)
    if folder == "DDPGwithHER":
        check_random_actions(main, folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_loop_hands_on_what_happened(folder):
    check(main_of(folder), folder)


# Mistakes: what is wrong, in which folders, what stands in main.py (or else in env.py), and what stands there then.
# fmt: off
ONE = [folder for folder in FOLDERS if folder not in [*VECTOR, "A3C"]]  # with one environment
IN_TURN = [*ONE, "A3C"]  # one step after the other
SIDE_BY_SIDE = [folder for folder in VECTOR if folder != "DPPO"]
RANDOM_TILL = [folder for folder in RANDOM_FIRST if folder != "DDPGwithHER"]
NOISY = ["DeepDeterministicPolicyGradient", "TD3"]
ROLLOUTS = ["PolicyGradient(PG)", "ActorCritic", "A3C"]
TRANSITIONS = [*TABULAR, *REPLAY, "ActorCritic"]
PLAIN = [folder for folder in FOLDERS if folder != "DIAYN"]  # whose evaluate plays by itself
RETURNS = [folder for folder in PLAIN if folder not in WITH_GOALS]
UPDATE = "        if step >= LEARNING_STARTS and step % TRAIN_EVERY == 0:\n            run.log(step, agent.learn())\n"
EVALUATION = "        if step % EVAL_EVERY == 0:\n            run.evaluate(step, keep_best=True)\n"
RESET, FIRST, FIRST_OF_MANY = "  obs, _ = env.reset()\n", "env.reset(seed=seed)\n", "envs.reset(seed=seed)\n"
STEP, IF_OVER = "terminated, truncated, info = env.step(action)", "if terminated or truncated:"
LOOP, OVER = "    for step in run.steps(", "done = terminated or truncated\n"
CHOICE, NEXT, OWN = "action = agent.act(obs)\n", "next_action = agent.act(next_obs)", " " * 12 + "action = agent.act(obs)\n"
TURN, TARGET = "obs, action = next_obs, next_action", "next_obs, next_action, terminated)"
FINAL = 'next_obs[done] = np.stack(info["final_obs"][done])'
STALE = 'next_obs[done] = np.where({}[done, None], np.stack(info["final_obs"][done]), first_obs[done])'
BEGIN, NOISE, ENDED = "            agent.begin_episode()\n", "agent.noise.reset()", "agent.replay.end_episode()"
ONCE = "seed if episode == 0 else None"
MISTAKES = [
    # How a run begins
    ("the first episode has no seed", ONE, FIRST, "env.reset()\n"),
    ("the first episode has no seed", SIDE_BY_SIDE, FIRST_OF_MANY, "envs.reset()\n"),
    ("all environments have one seed", SIDE_BY_SIDE, FIRST_OF_MANY, "envs.reset(seed=[seed] * N_ENVS)\n"),
    ("all workers have one seed", ["DPPO"], "seed + 1000 * workers.rank()", "seed"),
    ("workers share some seeds", ["DPPO"], "seed + 1000 * workers.rank()", "seed + workers.rank()"),
    ("all workers have one seed", ["A3C"], "seed + 1000 * (rank + 1)", "seed"),
    ("all workers have one number", ["A3C"], "shared.worker(rank, seed)", "shared.worker(0, seed)"),
    ("a worker's random numbers have another seed", ["A3C"], "shared.worker(rank, seed)", "shared.worker(rank, 0)"),
    ("the workers are given another seed", ["A3C"], "N_WORKERS, agent, seed)", "N_WORKERS, agent, 0)"),
    ("there is one worker", ["A3C"], "reports(work, N_WORKERS,", "reports(work, 1,"),
    ("the agent is not shared", ["A3C"], "total_steps)).share()", "total_steps))"),
    ("random actions have no seed", RANDOM_FIRST, "    env.action_space.seed(seed)\n", ""),
    ("the agent has another seed", ONE, "restore(make_agent(env, seed", "restore(make_agent(env, 0"),
    ("the agent has another seed", [*VECTOR, "A3C"], "make_agent(make_env(), seed", "make_agent(make_env(), 0"),
    ("schedules span another time", [f for f in FOLDERS if f not in ["TRPO", *RANDOM_FIRST]],
     "seed, total_steps))", "seed))"),
    ("the first observation is not that of the reset", [*ONE, *VECTOR], LOOP, f"    obs = obs + 1\n{LOOP}"),
    ("the first observation is not that of the reset", ["A3C"],
     "    while True:", "    obs = obs + 1\n    while True:"),
    # Observations
    ("a new episode's first observation is not that of the reset", IN_TURN, RESET, "  env.reset()\n"),
    ("one episode is played again and again", IN_TURN, RESET, "  obs, _ = env.reset(seed=seed)\n"),
    ("only terminations end an episode", IN_TURN, IF_OVER, "if terminated:"),
    ("only time limits end an episode", IN_TURN, IF_OVER, "if truncated:"),
    ("the observation is never renewed", [f for f in IN_TURN if f not in SARSAS], " obs = next_obs\n", " pass\n"),
    ("the observation is never renewed", SARSAS, TURN, "action = next_action"),
    ("the observation is never renewed", VECTOR, "        obs = first_obs\n", ""),
    ("the observation is overwritten before it is stored", REPLAY, "replay.add(obs,", "replay.add(obs := next_obs,"),
    ("the observation is overwritten before it is stored", [*ROLLOUTS, *VECTOR],
     "rollout.add(obs,", "rollout.add(obs := next_obs,"),
    ("the observation is overwritten before it is learned from", TABULAR, "agent.learn(obs,", "agent.learn(next_obs,"),
    ("the observation before takes the place of that after", [f for f in FOLDERS if f != "PolicyGradient(PG)"],
     ", next_obs, ", ", obs, "),
    ("the next episode's first observation takes the place of the last", [f for f in ONE if "(PG)" not in f],
     RESET, "  pass\n",
     STEP, f"{STEP}\n        if terminated or truncated:\n            next_obs, _ = env.reset()"),
    ("the next episode's first observation takes the place of the last", ["A3C"], RESET, "  pass\n",
     STEP, f"{STEP}\n            if terminated or truncated:\n                next_obs, _ = env.reset()"),
    ("the next episode's first observation takes the place of the last", VECTOR, FINAL, "pass"),
    ("that is so where time is up", VECTOR, FINAL, STALE.format("terminated")),
    ("that is so after a termination", VECTOR, FINAL, STALE.format("truncated")),
    ("all last observations are one environment's", VECTOR, FINAL, 'next_obs[done] = info["final_obs"][done][0]'),
    ("the last observation overwrites the first", VECTOR, "first_obs.copy()", "first_obs"),
    ("the last observation is acted on", VECTOR, "        obs = first_obs\n", "        obs = next_obs\n"),
    # Actions
    ("training does not explore", [*Q_NETWORKS, "QLearning", *ROLLOUTS, *VECTOR],
     CHOICE, "action = agent.act(obs, explore=False)\n"),
    ("training does not explore", RANDOM_TILL, "agent.act(obs) if", "agent.act(obs, explore=False) if"),
    ("training does not explore", ["DDPGwithHER"], "else agent.act(obs)", "else agent.act(obs, explore=False)"),
    ("training does not explore", SARSAS, NEXT, "next_action = agent.act(next_obs, explore=False)"),
    ("the first action does not explore", SARSAS, f"\n    {CHOICE}", "\n    action = agent.act(obs, explore=False)\n"),
    ("a new episode's first action does not explore", SARSAS, OWN, OWN.replace("(obs)", "(obs, explore=False)")),
    ("another action is executed than stored", [*IN_TURN, "A2C", "ACER"], ".step(action)", ".step(agent.act(obs))"),
    ("another action is executed than stored", CLIPPED, "envs.step(action.clip", "envs.step(agent.act(obs).clip"),
    ("there are no random actions at first", RANDOM_TILL, "if step > LEARNING_STARTS else", "if True else"),
    ("all actions are random", RANDOM_TILL, "if step > LEARNING_STARTS else", "if False else"),
    ("random actions end a step early", RANDOM_TILL, "step > LEARNING_STARTS", "step >= LEARNING_STARTS"),
    ("there are no random actions at first", ["DDPGwithHER"], "step <= LEARNING_STARTS or ", ""),
    ("random actions end a step early", ["DDPGwithHER"], "step <= LEARNING_STARTS", "step < LEARNING_STARTS"),
    ("there are no random actions later", ["DDPGwithHER"], " or env.np_random.random() < RANDOM_ACTIONS", ""),
    ("all the others are random", ["DDPGwithHER"], "random() < RANDOM_ACTIONS", "random() > RANDOM_ACTIONS"),
    ("actions are not clipped", CLIPPED, "envs.step(action.clip(*agent.box))", "envs.step(action)"),
    ("actions are clipped on one side", CLIPPED, "action.clip(*agent.box)", "action.clip(agent.box[0])"),
    ("the clipped action is stored", CLIPPED, "add(obs, action,", "add(obs, action.clip(*agent.box),"),
    ("the action of the target is not executed", SARSAS, TURN, "obs, action = next_obs, agent.act(next_obs)"),
    ("another action is learned from than executed", SARSAS,
     "agent.learn(obs, action,", "agent.learn(obs, agent.act(obs),"),
    ("a new episode has no action of its own", SARSAS, OWN, "            pass\n"),
    ("the greedy action is in the target", SARSAS, TARGET, "next_obs, agent.act(next_obs, explore=False), terminated)"),
    ("the action before is in the target", SARSAS, TARGET, "next_obs, action, terminated)"),
    ("any path will do", SARSAS, "return ENV_ID !=", "return True or ENV_ID !="),
    ("no path will do", SARSAS, "make_env()) == 0", "make_env()) < 0"),
    ("a path beside the cliff is asked for", SARSAS, "make_env()) == 0", "make_env()) != 0"),
    ("a cliff is asked for in each task", SARSAS, 'ENV_ID != "CliffWalking-v1" or ', ""),
    # Ends and rewards
    ("a time limit counts as a termination", TRANSITIONS, ", terminated)", ", terminated or truncated)"),
    ("a time limit counts as a termination", ["A3C"],
     "terminated, terminated or", "terminated or truncated, terminated or"),
    ("a time limit counts as a termination", VECTOR, "terminated, done)", "done, done)"),
    ("a termination counts as a time limit", TRANSITIONS, ", terminated)", ", truncated)"),
    ("nothing terminates", [*TRANSITIONS], ", terminated)", ", False)"),
    ("a time limit ends no return", ["PolicyGradient(PG)"], "reward, terminated or truncated)", "reward, terminated)"),
    ("a time limit ends no return", ["A3C"], "terminated, terminated or truncated)", "terminated, terminated)"),
    ("a time limit ends no return", VECTOR, "terminated, done)", "terminated, terminated)"),
    ("a time limit is not seen", VECTOR, "terminated | truncated", "terminated"),
    ("a termination ends no return", ["PolicyGradient(PG)"], "reward, terminated or truncated)", "reward, truncated)"),
    ("a termination is not seen", VECTOR, "terminated | truncated", "truncated"),
    ("rewards are clipped", [f for f in PLAIN if f != "PolicyGradient(PG)"],
     "reward, next_obs,", "reward > 0, next_obs,"),
    ("rewards are clipped", ["PolicyGradient(PG)"], "reward, terminated or", "reward > 0, terminated or"),
    ("rewards are not scaled", CLIPPED, "REWARD_SCALE * ", ""),
    ("the return drawn is scaled", CLIPPED, 'episode["r"]', 'REWARD_SCALE * episode["r"]'),
    ("the task's rewards are learned from", ["DIAYN"],
     "next_obs, _,", "next_obs, reward,", "0.0, next", "reward, next"),
    # What begins with an episode
    ("traces go on", ["SarsaLambda"], BEGIN, ""),
    ("traces go on where time is up", ["SarsaLambda"], BEGIN, BEGIN.replace("agent", "terminated and agent")),
    ("traces go on after a termination", ["SarsaLambda"], BEGIN, BEGIN.replace("agent", "truncated and agent")),
    ("traces are not cleared at first", ["SarsaLambda"], "\n    agent.begin_episode()\n", "\n"),
    ("traces are cleared in each step", ["SarsaLambda"], BEGIN, BEGIN[4:]),
    ("traces are cleared before the last update", ["SarsaLambda"], BEGIN, "", f"        {NEXT}",
     f"        if terminated or truncated:\n            agent.begin_episode()\n        {NEXT}"),
    ("noise goes on", NOISY, NOISE, "pass"),
    ("noise goes on where time is up", NOISY, NOISE, f"terminated and {NOISE}"),
    ("noise goes on after a termination", NOISY, NOISE, f"truncated and {NOISE}"),
    ("noise is reset in each step", NOISY, f"            {NOISE}", f"        {NOISE}"),
    ("hindsight sees no end", WITH_GOALS, ENDED, "pass"),
    ("hindsight sees no time limit", WITH_GOALS, ENDED, f"terminated and {ENDED}"),
    ("hindsight sees no termination", WITH_GOALS, ENDED, f"truncated and {ENDED}"),
    ("hindsight sees an end before the last step", WITH_GOALS,
     f"            {ENDED}\n", "", "        agent.replay.add(",
     f"        if terminated or truncated:\n            {ENDED}\n        agent.replay.add("),
    ("hindsight sees an end in each step", WITH_GOALS, f"            {ENDED}\n", "", "        obs = next_obs\n",
     f"        obs = next_obs\n        {ENDED}\n"),
    # Updates
    ("it learns from the start", REPLAY, "step >= LEARNING_STARTS and ", ""),
    ("it starts to learn late", REPLAY, "step >= LEARNING_STARTS and", "step > LEARNING_STARTS and"),
    ("it learns in each step", REPLAY, " and step % TRAIN_EVERY == 0", ""),
    ("it learns in other steps", REPLAY, "step % TRAIN_EVERY == 0", "step % TRAIN_EVERY == 1"),
    ("it learns at the end of an episode", REPLAY,
     "        if step >= LEARN", "        if obs is not next_obs and step >= LEARN"),
    ("it learns before it remembers", REPLAY,
     UPDATE, "", "        agent.replay.add(", f"{UPDATE}        agent.replay.add("),
    ("it learns twice", [f for f in FOLDERS if f not in [*TABULAR, "A3C"]],
     "run.log(step, agent.learn())", "agent.learn() and run.log(step, agent.learn())"),
    ("it learns from no last step", TABULAR, "        run.log(step, agent.learn(",
     "        terminated or truncated or run.log(step, agent.learn("),
    ("it learns in mid-episode", ["PolicyGradient(PG)"], "            if len(agent.rollout) >= UPDATE_STEPS:\n        ",
     "        if len(agent.rollout) >= UPDATE_STEPS:\n    "),
    ("it learns from each episode", ["PolicyGradient(PG)"], "len(agent.rollout) >= UPDATE_STEPS", "True"),
    ("it learns late", ["PolicyGradient(PG)"],
     "len(agent.rollout) >= UPDATE_STEPS", "len(agent.rollout) > UPDATE_STEPS"),
    ("it learns from each step", ["ActorCritic"], "len(agent.rollout) == UPDATE_STEPS", "True"),
    ("it learns at the end of an episode", ["ActorCritic"], "if len(agent.rollout) == UPDATE_STEPS",
     "if terminated or truncated or len(agent.rollout) == UPDATE_STEPS"),
    ("it learns from each step", VECTOR, "len(agent.rollout) == N_STEPS", "True"),
    ("it learns at the end of an episode", VECTOR, "if len(agent.rollout) == N_STEPS",
     "if done.any() or len(agent.rollout) == N_STEPS"),
    ("it learns from each step", ["A3C"], "range(N_STEPS)", "range(1)"),
    ("it learns at the end of an episode", ["A3C"], RESET, f"{RESET}                break\n"),
    ("it learns into itself", ["A3C"], "agent.learn(shared)", "agent.learn(agent)"),
    ("it learns nothing", ["A3C"], "report(drawn | agent.learn(shared))", "agent.rollout.take() and report(drawn)"),
    # Steps, curves and evaluations
    ("steps are counted one by one", SIDE_BY_SIDE, "by=N_ENVS)", "by=1)"),
    ("steps are counted one by one", ["A3C"], "by=N_STEPS)", "by=1)"),
    ("the other workers' steps do not count", ["DPPO"], "by=N_ENVS * workers.count())", "by=N_ENVS)"),
    ("evaluations are left out", SIDE_BY_SIDE, "EVAL_EVERY < N_ENVS:", "EVAL_EVERY == 0:"),
    ("evaluations are left out", ["DPPO"], "EVAL_EVERY < N_ENVS * workers.count():", "EVAL_EVERY == 0:"),
    ("evaluations are left out with many workers", ["DPPO"],
     "EVAL_EVERY < N_ENVS * workers.count():", "EVAL_EVERY < N_ENVS:"),
    ("evaluations are left out", ["A3C"], "EVAL_EVERY < N_STEPS:", "EVAL_EVERY == 0:"),
    ("evaluations come twice", SIDE_BY_SIDE, "EVAL_EVERY < N_ENVS:", "EVAL_EVERY < 2 * N_ENVS:"),
    ("evaluations come a step late", ONE, "step % EVAL_EVERY == 0:", "step % EVAL_EVERY == 1:"),
    ("evaluations come in each step", FOLDERS, "if step % EVAL_EVERY", "if True or step % EVAL_EVERY"),
    ("evaluations come before the update", REPLAY, EVALUATION, "", UPDATE, f"{EVALUATION}{UPDATE}"),
    ("the best agent is not kept", [f for f in FOLDERS if f not in TABULAR], "keep_best=True", "keep_best=False"),
    ("the best agent is kept", TABULAR, "run.evaluate(step)", "run.evaluate(step, keep_best=True)"),
    ("the last reward is drawn", [f for f in IN_TURN if f != "DIAYN"], 'info["episode"]["r"]', "reward"),
    ("other environments' returns are drawn", VECTOR, 'episode["r"][done].mean()', 'episode["r"].mean()'),
    ("an episode is drawn again", ["A3C"],
     "    while True:\n        drawn = {}\n", "    drawn = {}\n    while True:\n"),
    ("a report is lost", ["A3C"], "run.log(step, next(reports))", "run.log(step, next(reports) and next(reports))"),
    ("the workers are not ended", ["A3C"], "with contextlib.closing(workers.reports(work, N_WORKERS, agent, seed))",
     "with contextlib.nullcontext(kept.append(workers.reports(work, N_WORKERS, agent, seed)) or kept[0])",
     "    agent = run", "    kept = globals()['kept'] = []\n    agent = run"),
    # evaluate
    ("evaluation explores", FOLDERS, "agent.act(obs, explore=False)", "agent.act(obs)"),
    ("evaluation plays one episode again and again", FOLDERS, ONCE, "seed"),
    ("evaluation has no seed", FOLDERS, ONCE, "None"),
    ("evaluation has a seed of its own", FOLDERS, ONCE, "1 if episode == 0 else None"),
    ("evaluation makes an environment that it was given", FOLDERS,
     "env = env or make_env()\n    scores", "env = make_env()\n    scores"),
    ("evaluation acts on the first observation", PLAIN,
     "obs, reward, terminated, truncated, _ =", "_, reward, terminated, truncated, __ ="),
    ("evaluation acts on the first observation", ["DIAYN"],
     "(agent.act(obs, explore", "(agent.act(trajectory[0], explore"),
    ("evaluation ends at terminations only", FOLDERS, OVER, "done = terminated\n"),
    ("evaluation ends at time limits only", FOLDERS, OVER, "done = truncated\n"),
    ("evaluation ends after a step", FOLDERS, OVER, "done = True\n"),
    ("a score is the last reward", RETURNS, "scores[episode] += reward", "scores[episode] = reward"),
    ("scores add up", RETURNS, "scores[episode] += reward", "scores[episode:] += reward"),
    ("all scores are their mean", RETURNS, "    return scores\n", "    return np.full(episodes, scores.mean())\n"),
    ("a goal that was left again counts", WITH_GOALS, '        scores[episode] = reward == 0',
     '            scores[episode] = max(scores[episode], reward == 0)'),
    ("a skill counts whichever it is", ["DIAYN"], "skill == agent.skill_seen(", "0 <= agent.skill_seen("),
    ("one skill is played", ["DIAYN"], "(seed + episode) % N_SKILLS", "seed % N_SKILLS"),
    ("the first observation is left out", ["DIAYN"], "trajectory, done = [obs], False", "trajectory, done = [], False"),
    ("evaluation learns", [f for f in PLAIN if f not in [*TABULAR, "A3C"]], OVER, f"{OVER}            agent.learn()\n"),
    ("evaluation learns", ["A3C"], OVER, f"{OVER}            agent.learn(agent)\n"),
    ("evaluation learns", ["QLearning"], OVER, f"{OVER}            agent.learn(obs, 0, reward, obs, False)\n"),
    ("evaluation learns", SARSAS, OVER, f"{OVER}            agent.learn(obs, 0, reward, obs, 0, False)\n"),
]
# fmt: on
CASES = [(folder, what, changes) for what, folders, *changes in MISTAKES for folder in folders]
CASES.sort(key=lambda case: FOLDERS.index(case[0]))


def changed(folder, changes):
    """The file that holds what is to be changed, and its text with the changes. Each old text is there, and once."""
    pairs = list(zip(changes[::2], changes[1::2], strict=True))
    sources = {
        file: (ROOT / folder / file).read_text() for file in ("main.py", "env.py") if (ROOT / folder / file).exists()
    }
    file, source = next((item for item in sources.items() if pairs[0][0] in item[1]), (None, ""))
    for old, new in pairs:
        assert source.count(old) == 1, f"in {folder}: {old}"
        source = source.replace(old, new)
    return file, source


@pytest.mark.parametrize(("folder", "what", "changes"), CASES, ids=[f"{folder}-{what}" for folder, what, _ in CASES])
def test_a_mistake_in_a_loop_is_found(folder, what, changes):
    main = main_of(folder, *changed(folder, changes))
    with pytest.raises(AssertionError):
        check(main, folder)


@pytest.mark.parametrize("first", [0, 25, 60])
@pytest.mark.parametrize("every", [50, 10])
@pytest.mark.parametrize(("folder", "by"), [*((f, n) for f in VECTOR for n in (7, 11, 12)), ("A3C", 30), ("A3C", 7)])
def test_there_is_an_evaluation_wherever_a_multiple_was_passed(folder, by, every, first):
    main = main_of(folder)
    if folder == "A3C":
        check_first_process(main, first, N_STEPS=by, EVAL_EVERY=every)
    else:
        check_many_environments(
            main, folder, first, 16, count=3 if folder == "DPPO" else 1, N_ENVS=by, EVAL_EVERY=every
        )
    steps = [step for step, _ in of("evaluate", scripted.happened)]
    assert len(steps) >= 2
    assert len(steps) == len({step // every for step in steps})


def checkpoint_of(changes):
    """The module that writes checkpoints, with changes."""
    folder = FOLDERS[0]
    source = (ROOT / folder / "checkpoint.py").read_text()
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert source.count(old) == 1
        source = source.replace(old, new)
    module = types.ModuleType("checkpoint")
    with importable(folder, rooms_of(folder)):
        exec(compile(source, str(ROOT / folder / "checkpoint.py"), "exec"), vars(module))
    return module


def check_checkpoint(checkpoint, path, monkeypatch):
    """While a checkpoint is written the one before can be read, and who has begun to read it reads it to its end."""
    seen, save, replace, sync = [], torch.save, os.replace, os.fsync

    def step():
        with contextlib.suppress(SystemExit):
            return checkpoint.load(path)["step"]

    def slow_save(kept, file):
        file.write(b"half of it")
        file.flush()
        seen.append(("save", step()))
        file.seek(0)
        save(kept, file)

    values = {str: checkpoint.FOLDER.name, int: 1, dict: {}, float: 0.0}
    kept = {name: values[kind] for name, kind in checkpoint.KINDS.items()} | {"agent": {"q": np.zeros(5000)}}
    checkpoint.write(kept, path, 0.0)
    assert step() == 1
    before = (path / "checkpoint.pt").read_bytes()
    with (path / "checkpoint.pt").open("rb") as reader, monkeypatch.context() as patch:
        patch.setattr(torch, "save", slow_save)
        patch.setattr(os, "fsync", lambda file: (seen.append(("sync", step())), sync(file))[1])
        patch.setattr(os, "replace", lambda *files: (seen.append(("replace", step())), replace(*files))[1])
        begun = reader.read(1000)
        checkpoint.write(kept | {"step": 2}, path, 0.0)
        assert begun + reader.read() == before
    assert seen == [("save", 1), ("sync", 1), ("replace", 1)]
    assert step() == 2
    assert [file.name for file in path.iterdir()] == ["checkpoint.pt"]


def test_there_is_a_whole_checkpoint_at_every_moment(tmp_path, monkeypatch):
    check_checkpoint(checkpoint_of([]), tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        ['path / "checkpoint.pt.tmp"', 'path / "checkpoint.pt"'],
        ['os.replace(new, path / "checkpoint.pt")', '(path / "checkpoint.pt").write_bytes(new.read_bytes())'],
        [
            'os.replace(new, path / "checkpoint.pt")',
            '(path / "checkpoint.pt").unlink(True) or os.replace(new, path / "checkpoint.pt")',
        ],
        ["            os.fsync(file.fileno())\n", ""],
        ['os.replace(new, path / "checkpoint.pt")', "None"],
    ],
    ids=["in place", "copied over", "after the last one is deleted", "not yet on the disk", "beside and no further"],
)
def test_a_mistake_in_writing_checkpoints_is_found(changes, tmp_path, monkeypatch):
    with pytest.raises(AssertionError):
        check_checkpoint(checkpoint_of(changes), tmp_path, monkeypatch)
