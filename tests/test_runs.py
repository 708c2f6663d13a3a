"""What the person at the command line sees, in every folder, each copied out of the repository and on its own."""

import json
import shutil
import signal
from types import SimpleNamespace

import imageio
import lineage
import numpy as np
import processes
import pytest
import torch
from changed import in_one_process, root
from folders import TABULAR, WITHOUT_LOCKS, leaves, load, start_run, train
from processes import command, python, refused
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEPS, MORE = 400, 200  # of a short run, and after it was resumed
FIELDS = {
    "algorithm", "env_id", "seed", "env_steps", "train_seconds", "score", "score_std", "eval_episodes", "solved_score",
    "solved", "settings",
}  # fmt: skip
TAGS = {"episode/return", "episode/length", "eval/score", "speed/steps_per_second"}
STARTED = ("QLearning", "DeepQLearningNetwork(DQN)", "A3C", "DPPO")  # by Python itself, others by a fork
GROUPED = [pytest.param(folder, marks=pytest.mark.xdist_group(folder)) for folder in lineage.FOLDERS]


def first_weights(values):
    """Where in the leaves of an agent's state its first weights, or its table, stand."""
    return next(name for name in values if name.startswith((".q", ".actor")))


def rooms_in(folder):
    """The modules of a folder outside the repository."""
    with root(folder.parent):
        return load(folder.name)


def train_in(rooms, path, seed, steps=STEPS, resume=False):
    with root(rooms.harness.FOLDER.parent):
        return train(rooms, path, steps, seed, resume)


@pytest.fixture(scope="module")
def server():
    yield processes.server()
    processes.server().close()


@pytest.fixture(scope="module", params=GROUPED)
def trained(request, server, tmp_path_factory):
    """A folder copied out of the repository, in which `python main.py` has run, the run's folder, what was printed."""
    one_env = {"N_ENVS": 1} if request.param == "DPPO" else {}  # or no episode ends
    folder = processes.prepared(request.param, tmp_path_factory.mktemp("alone"), TOTAL_STEPS=STEPS, **one_env)
    arguments = ("--steps", STEPS, "--seed", 3)
    if request.param in STARTED:
        process = python(folder, *arguments)
        status, said, errors = process.returncode, process.stdout, process.stderr
    else:
        process = server.run(folder, *arguments)
        status, said, errors = process.status, process.stdout, process.stderr
    assert status == 0, errors
    (run,) = (folder / "runs").iterdir()
    return folder, run, said


@pytest.fixture(scope="module")
def own(trained, tmp_path_factory):
    """The same training in this process: the modules, the agent in the end, and the run's folder."""
    rooms, path = rooms_in(trained[0]), tmp_path_factory.mktemp("own") / "run"
    if trained[0].name in WITHOUT_LOCKS:
        in_one_process(rooms)
    agent = train_in(rooms, path, seed=3)
    return SimpleNamespace(rooms=in_one_process(rooms), agent=agent, run=path)


def test_a_folder_alone_trains_and_says_how_it_went(trained):
    folder, run, said = trained
    assert run.name.endswith("-seed3")
    result = json.loads((run / "result.json").read_text())
    assert set(result) == FIELDS
    assert (result["algorithm"], result["seed"], result["eval_episodes"]) == (folder.name, 3, 2)
    assert load(folder.name).harness.FINAL_EPISODES == 100, "in the repository"
    assert result["env_steps"] == STEPS
    assert 0 < result["train_seconds"] < 200
    assert result["solved"] == (result["score"] >= result["solved_score"]) or folder.name in ("Sarsa", "SarsaLambda")
    verdict = said.splitlines()[-1]
    assert f"{result['score']:.2f}" in verdict
    assert (": solved (wanted" in verdict) == result["solved"]
    names = sorted(p.name for p in run.iterdir() if not p.name.startswith("events."))
    assert names == [".lock", "checkpoint.pt", "result.json"]


def test_the_curves_are_in_the_event_file(trained):
    folder, run, _ = trained
    curves = EventAccumulator(str(run)).Reload()
    tags = set(curves.Tags()["scalars"])
    assert tags >= TAGS
    assert any(tag.startswith("loss/") for tag in tags)
    assert any(tag.startswith("policy/") for tag in tags)
    assert {tag.split("/")[0] for tag in tags} == {"episode", "eval", "loss", "policy", "speed"}
    for tag in tags:
        steps = [point.step for point in curves.Scalars(tag)]
        assert steps == sorted(set(steps))
        assert 0 < steps[-1] <= STEPS
    assert ("policy/greedy_path" in curves.Tags()["images"]) == (folder.name in TABULAR)


def test_record_writes_a_film_that_opens(trained, server, tmp_path):
    folder, run, _ = trained
    film = tmp_path / "film.gif"
    process = server.run(folder, "--record", film, "--run", run)
    if folder.name == "DDPGwithHER" and process.status:  # a machine may have no OpenGL
        refused(process.status, process.stderr, "MUJOCO_GL")
        return
    assert process.status == 0, process.stderr
    frames = imageio.mimread(film, memtest=False)
    assert len(frames) > 1
    assert any(not np.array_equal(frames[0], frame) for frame in frames)
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


def test_one_seed_gives_the_same_weights_bit_for_bit(trained, own, tmp_path):
    folder, run, _ = trained
    state = leaves(own.agent.state_dict())
    weights = first_weights(state)
    other = leaves(train_in(own.rooms, tmp_path / "run", seed=4).state_dict())
    assert not np.array_equal(state[weights], other[weights]), "another seed, other weights"
    if folder.name in WITHOUT_LOCKS:
        return
    again = leaves(own.rooms.checkpoint.load(run)["agent"])
    assert state.keys() == again.keys()
    for name, value in state.items():
        assert same(value, again[name]), name


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b


def test_a_saved_agent_acts_the_same(own):
    env = own.rooms.main.make_env()
    copy = own.rooms.main.make_agent(env, seed=99)
    copy.load_state_dict(own.rooms.checkpoint.load(own.run)["agent"])
    env.observation_space.seed(0)
    obs = np.array([env.observation_space.sample() for _ in range(1000)])
    before = own.agent.rng.bit_generator.state
    for explore in (False, True):
        np.testing.assert_array_equal(own.agent.act(obs, explore=explore), copy.act(obs, explore=explore))
    own.agent.rng.bit_generator.state = before


def test_resume_continues_counters_and_optimiser(own, tmp_path):
    run_folder = shutil.copytree(own.run, tmp_path / "run")
    before = leaves(own.rooms.checkpoint.load(run_folder)["agent"])
    run = start_run(own.rooms, run_folder, STEPS + MORE, resume=True)
    assert (run.step, run.kept["seed"]) == (STEPS, 3)
    agent = run.restore(own.rooms.main.make_agent(own.rooms.main.make_env(), 3))
    for name, value in leaves(agent.state_dict()).items():
        assert same(value, before[name]) or "param_groups" in name, name  # those are what main.py sets
    run.lock.release()
    after = leaves(train_in(own.rooms, run_folder, None, STEPS + MORE, resume=True).state_dict())
    counts = {name for name, value in before.items() if type(value) is int or name.endswith(".step")}  # Adam's
    counts = {name for name in counts if "rng" not in name and "param_groups" not in name}
    assert counts
    assert all(after[name] > before[name] for name in counts)


def test_resume_goes_on_from_the_checkpoint(trained, server, tmp_path):
    folder, run, _ = trained
    run = shutil.copytree(run, tmp_path / "run")
    process = server.run(folder, "--resume", "--run", run, "--steps", STEPS + MORE)
    assert process.status == 0, process.stderr
    result = json.loads((run / "result.json").read_text())
    assert (result["env_steps"], result["seed"]) == (STEPS + MORE, 3)
    curves = EventAccumulator(str(run)).Reload()
    assert curves.Scalars("eval/score")[-1].step == STEPS + MORE
    steps = [point.step for point in curves.Scalars("speed/steps_per_second")]
    assert steps == sorted(set(steps))
    assert steps[0] < STEPS < steps[-1]


@pytest.mark.parametrize("folder", TABULAR)
def test_stopped_at_a_third_and_resumed_it_still_solves_its_task(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(lineage.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    rooms = rooms_in(tmp_path / folder)
    check, calls = rooms.harness.check, iter(range(rooms.main.TOTAL_STEPS // 3))

    def ctrl_c():
        if next(calls, None) is None:
            rooms.harness.signals.append(signal.SIGINT)
        check()

    with monkeypatch.context() as patch:
        patch.setattr(rooms.harness, "check", ctrl_c)
        assert command(rooms, monkeypatch) == 130
    assert "python main.py --resume --run" in capsys.readouterr().out
    (run,) = (tmp_path / folder / "runs").iterdir()
    stopped_at = rooms.checkpoint.load(run)["step"]
    assert 0.2 < stopped_at / rooms.main.TOTAL_STEPS < 0.5
    assert command(rooms_in(tmp_path / folder), monkeypatch, "--resume") == 0
    assert json.loads((run / "result.json").read_text())["solved"]


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_the_best_agent_is_the_one_that_counts(folder, tmp_path):
    rooms = load(folder)
    run = start_run(rooms, tmp_path, 100)
    run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    scores, seen = iter([1.0, 3.0, 2.0]), []

    def evaluate(agent, episodes, seed, env=None):
        seen.append((episodes, seed))
        return np.full(episodes, next(scores, 7.0))

    vars(rooms.main).update(EVAL_EPISODES=1, evaluate=evaluate)
    for step in (1, 2, 3):
        state = run.agent.state_dict()
        values = leaves(state)
        name = first_weights(values)
        with torch.no_grad():
            values[name][:] = step
        run.agent.load_state_dict(state)
        run.evaluate(step, keep_best=True)
    run.finish()
    assert float(np.asarray(leaves(run.agent.state_dict())[name]).flat[0]) == 2.0
    assert run.kept["best_score"] == 3.0
    training, choosing, scoring = {0}, {seed for episodes, seed in seen[:-1]}, {seen[-1][1]}
    assert seen[-1][0] == 100
    assert not training & choosing
    assert not (training | choosing) & scoring
