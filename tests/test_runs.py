"""What the person at the command line sees, in every folder, each copied out of the repository and on its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import imageio
import lineage
import numpy as np
import pytest
import torch
from folders import TABULAR, WITHOUT_LOCKS, importable, leaves, load, start_run, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROLLOUT = {"PPO": 4096, "TRPO": 4096, "DPPO": 8192}  # environment steps of an update; elsewhere few
STEPS = dict.fromkeys(TABULAR, 2000) | {folder: 2 * steps for folder, steps in ROLLOUT.items()}  # of a short run
FIELDS = {
    "algorithm", "env_id", "seed", "env_steps", "train_seconds", "score", "score_std", "eval_episodes", "solved_score",
    "solved",
}  # fmt: skip
TAGS = {"episode/return", "episode/length", "eval/score", "speed/steps_per_second"}


def steps_of(folder):
    return STEPS.get(folder, 1200)


def more_of(folder):
    """Steps in which a resumed run learns something."""
    return ROLLOUT.get(folder, 400)


def python(folder, *arguments, **options):
    """Run main.py with the arguments in the folder; the finished process."""
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, **options)


def refused(process, *words):
    """One clear line, no traceback, exit status 2."""
    assert process.returncode == 2, process.stderr
    notices = ("steps/s", "Farama-Foundation")  # the progress bar, and what gymnasium-robotics says when it is imported
    lines = [line for line in process.stderr.splitlines() if line.strip() and not any(n in line for n in notices)]
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    return lines[0]


def first_weights(values):
    """Where in the leaves of an agent's state its first weights, or its table, stand."""
    return next(name for name in values if name.startswith((".q", ".actor")))


GROUPED = [pytest.param(folder, marks=pytest.mark.xdist_group(folder)) for folder in lineage.FOLDERS]


@pytest.fixture(scope="module", params=GROUPED)
def trained(request, tmp_path_factory):
    """A folder copied out of the repository, in which `python main.py` has run, and what it printed."""
    folder = tmp_path_factory.mktemp("alone") / request.param
    shutil.copytree(lineage.ROOT / request.param, folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    process = python(folder, "--steps", steps_of(request.param), "--seed", 3)
    assert process.returncode == 0, process.stderr
    return folder, process


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One trained folder, for what only the plumbing decides: that is the same file everywhere."""
    folder = tmp_path_factory.mktemp("one") / "QLearning"
    shutil.copytree(lineage.ROOT / "QLearning", folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    assert python(folder, "--steps", 2000, "--seed", 3).returncode == 0
    return folder


def test_a_folder_alone_trains_and_says_how_it_went(trained):
    folder, process = trained
    (run,) = (folder / "runs").iterdir()
    assert run.name.endswith("-seed3")
    result = json.loads((run / "result.json").read_text())
    assert set(result) == FIELDS
    assert (result["algorithm"], result["seed"], result["eval_episodes"]) == (folder.name, 3, 100)
    assert result["env_steps"] == steps_of(folder.name)
    assert 0 < result["train_seconds"] < 200
    assert result["solved"] == (result["score"] >= result["solved_score"]) or folder.name in ("Sarsa", "SarsaLambda")
    verdict = process.stdout.splitlines()[-1]
    assert f"{result['score']:.2f}" in verdict
    assert (": solved (wanted" in verdict) == result["solved"]
    assert sorted(p.suffix or p.name for p in run.iterdir() if "events" not in p.name) == [".json", ".pt"]


def test_the_curves_are_in_the_event_file(trained):
    folder, _ = trained
    (run,) = (folder / "runs").iterdir()
    curves = EventAccumulator(str(run)).Reload()
    tags = set(curves.Tags()["scalars"])
    assert tags >= TAGS
    assert any(tag.startswith("loss/") for tag in tags)
    assert any(tag.startswith("policy/") for tag in tags)
    assert {tag.split("/")[0] for tag in tags} == {"episode", "eval", "loss", "policy", "speed"}
    for tag in tags:
        steps = [point.step for point in curves.Scalars(tag)]
        assert steps == sorted(steps)
        assert 0 < steps[-1] <= steps_of(folder.name)
    assert ("policy/greedy_path" in curves.Tags()["images"]) == (folder.name in TABULAR)


def test_record_writes_a_film_that_opens(trained, tmp_path):
    folder, _ = trained
    film = tmp_path / "film.gif"
    process = python(folder, "--record", film, env={k: v for k, v in os.environ.items() if k != "DISPLAY"})
    if folder.name == "DDPGwithHER" and process.returncode:  # a machine may have no OpenGL
        refused(process, "MUJOCO_GL")
        return
    assert process.returncode == 0, process.stderr
    frames = imageio.mimread(film, memtest=False)
    assert len(frames) > 1
    assert any(not np.array_equal(frames[0], frame) for frame in frames)
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


def test_resume_goes_on_from_the_checkpoint(trained):
    folder, _ = trained
    total = steps_of(folder.name) + more_of(folder.name)
    process = python(folder, "--resume", "--steps", total)
    assert process.returncode == 0, process.stderr
    (run,) = (folder / "runs").iterdir()
    result = json.loads((run / "result.json").read_text())
    assert (result["env_steps"], result["seed"]) == (total, 3)
    assert EventAccumulator(str(run)).Reload().Scalars("eval/score")[-1].step == total


@pytest.mark.parametrize("folder", [folder for folder in lineage.FOLDERS if folder not in WITHOUT_LOCKS])
def test_one_seed_gives_the_same_weights_bit_for_bit(folder, tmp_path):
    states = []
    for i, seed in enumerate((5, 5, 6)):
        agent = train(load(folder), tmp_path / str(i), steps_of(folder), seed)
        states.append(leaves(agent.state_dict()))
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        other = states[1][name]
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other), name
        elif isinstance(value, np.ndarray):
            assert value.tobytes() == other.tobytes(), name
        else:
            assert value == other, name
    weights = first_weights(states[0])
    assert not np.array_equal(states[0][weights], states[2][weights]), "another seed, other weights"


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_a_saved_agent_acts_the_same(folder, tmp_path):
    rooms = load(folder)
    agent = train(rooms, tmp_path, steps_of(folder))
    env = rooms.main.make_env()
    _, kept = rooms.harness.load(tmp_path)
    copy = rooms.main.make_agent(env, seed=99)
    copy.load_state_dict(kept["agent"])
    env.observation_space.seed(0)
    obs = np.array([env.observation_space.sample() for _ in range(1000)])
    for explore in (False, True):
        np.testing.assert_array_equal(agent.act(obs, explore=explore), copy.act(obs, explore=explore))


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_resume_continues_counters_schedules_and_optimiser(folder, tmp_path):
    n, more = steps_of(folder), more_of(folder)
    before = leaves(train(load(folder), tmp_path / "run", n).state_dict())
    before = {name: (v.clone() if isinstance(v, torch.Tensor) else v) for name, v in before.items()}
    rooms = load(folder)
    run = start_run(rooms, tmp_path / "run", n + 100, resume=True)
    assert (run.step, run.kept["seed"]) == (n, 0)
    agent = run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    for name, value in leaves(agent.state_dict()).items():
        expected = before[name]
        assert torch.equal(value, expected) if isinstance(value, torch.Tensor) else np.array_equal(value, expected), (
            name
        )
    counts = {name: v for name, v in before.items() if isinstance(v, int) and "rng" not in name}
    with importable(folder, rooms):
        agent = rooms.main.train(start_run(rooms, tmp_path / "run", n + more, resume=True), 0, n + more)
    after = leaves(agent.state_dict())
    grown = {name for name, value in counts.items() if after[name] > value}
    assert all(after[name] >= value for name, value in counts.items())
    assert len(grown) >= 1 or folder in ("PolicyGradient(PG)", "TRPO"), "these two count nothing"
    if "epsilon_steps" in vars(agent):
        assert agent.epsilon < rooms.main.EPSILON_START - n / (1.1 * rooms.main.EPSILON_STEPS)


@pytest.mark.parametrize("folder", TABULAR)
def test_stopped_and_resumed_it_still_solves_its_task(folder, tmp_path):
    copy = tmp_path / folder
    shutil.copytree(lineage.ROOT / folder, copy, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    process = subprocess.Popen([sys.executable, "main.py"], cwd=copy, stdout=subprocess.PIPE, text=True)
    stop_when_it_trains(process, copy)
    assert process.wait(60) == 130
    said = process.stdout.read()
    assert "python main.py --resume --run" in said
    result = python(copy, "--resume")
    assert result.returncode == 0, result.stderr
    (run,) = (copy / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["solved"]


def stop_when_it_trains(process, folder, number=signal.SIGINT):
    """Send the signal as soon as the first checkpoint is there."""
    for _ in range(600):
        if list(folder.glob("runs/*/checkpoint.pt")):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)


def test_killed_at_any_moment_there_is_a_checkpoint_that_loads(tmp_path):
    folder = tmp_path / "QLearning"
    shutil.copytree(lineage.ROOT / "QLearning", folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    harness = folder / "harness.py"
    harness.write_text(harness.read_text().replace("SAVE_SECONDS = 30.0", "SAVE_SECONDS = 0.0"))  # saves all the time
    process = subprocess.Popen([sys.executable, "main.py", "--steps", "10000000"], cwd=folder)
    stop_when_it_trains(process, folder, signal.SIGKILL)
    process.wait(60)
    film = python(folder, "--record", tmp_path / "film.gif")
    assert film.returncode == 0, film.stderr


def test_bad_flags_are_refused(one):
    before = sorted((one / "runs").iterdir())
    refused(python(one, "--steps", "many"), "--steps")
    refused(python(one, "--steps", "0"), "--steps")
    refused(python(one, "--steps", "-5"), "--steps")
    refused(python(one, "--seed", "-1"), "--seed")
    refused(python(one, "--seed", "1.5"), "--seed")
    refused(python(one, "--fly"), "--fly")
    refused(python(one, "--watch", "--resume"), "--resume")
    refused(python(one, "--resume", "--seed", 4), "seed 3")
    refused(python(one, "--record", "film.mp4"), ".gif")
    refused(python(one, "--run", before[0]), "--resume")
    assert sorted((one / "runs").iterdir()) == before


def test_no_screen_is_said(one):
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    refused(python(one, "--watch", env=env), "--record")


def test_checkpoints_that_cannot_be_used_are_refused(one, tmp_path):
    (good,) = (one / "runs").glob("*/checkpoint.pt")
    content = good.read_bytes()
    for name, bad in [
        ("short", content[: len(content) // 2]),
        ("empty", b""),
        ("text", b"hello"),
        ("end", content[:-1]),
    ]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.pt").write_bytes(bad)
        for flags in (["--resume"], ["--record", tmp_path / "film.gif"]):
            refused(python(one, *flags, "--run", tmp_path / name), name, "checkpoint")
        assert (tmp_path / name / "checkpoint.pt").read_bytes() == bad
    refused(python(one, "--resume", "--run", tmp_path / "nowhere"), "nowhere")
    (tmp_path / "foreign").mkdir()
    torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign" / "checkpoint.pt")
    refused(python(one, "--resume", "--run", tmp_path / "foreign"), "foreign")
    kept = load("QLearning").harness.load(good.parent)[1] if one.name == lineage.FOLDERS[0] else None
    torch.save(kept | {"algorithm": "SAC"}, tmp_path / "foreign" / "checkpoint.pt")
    refused(python(one, "--resume", "--run", tmp_path / "foreign"), "SAC", "QLearning")
    torch.save(kept | {"agent": {}}, tmp_path / "foreign" / "checkpoint.pt")
    refused(python(one, "--record", tmp_path / "film.gif", "--run", tmp_path / "foreign"), "main.py")
    assert not (tmp_path / "film.gif").exists()


def test_no_run_yet_is_said(tmp_path):
    folder = tmp_path / "QLearning"
    shutil.copytree(lineage.ROOT / "QLearning", folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for flag in (["--resume"], ["--record", "film.gif"]):
        refused(python(folder, *flag), "python main.py")


def test_a_run_folder_that_cannot_be_written_is_refused(one, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(python(one, "--run", tmp_path / "file" / "run"), "file")


def test_a_full_disk_is_said_and_the_last_checkpoint_stays(one, tmp_path):
    import resource

    def small_files():  # a write beyond the limit fails as one to a full disk does
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    run = tmp_path / "run"
    process = python(one, "--run", run, "--steps", 400_000, preexec_fn=small_files)
    refused(process)
    assert python(one, "--record", tmp_path / "film.gif", "--run", run).returncode == 0


def test_a_missing_package_is_named(one):
    code = (
        "import importlib.util as u, runpy, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'tensorboardX' else find(name, *a)\n"
        "sys.path.insert(0, '.'); sys.argv = ['main.py']; runpy.run_path('main.py', run_name='__main__')"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=one, capture_output=True, text=True, timeout=60)
    refused(process, "tensorboardX", "pip install")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    source = lineage.ROOT / "DeepQLearningNetwork(DQN)"
    folder = tmp_path / source.name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    main = folder / "main.py"
    broken = "        obs = next_obs\n        agent.q_net.q.bias.data[0] += float('inf') if step == 1100 else 0\n"
    main.write_text(main.read_text().replace("        obs = next_obs\n", broken))
    line = refused(python(folder, "--steps", 5000), "loss/q became", "at step 110", "checkpoint")
    assert "inf" in line or "nan" in line
    main.write_text((source / "main.py").read_text())
    assert python(folder, "--resume", "--steps", 100).returncode == 0


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    rooms = load(next(f for f in lineage.FOLDERS if f not in TABULAR))
    run = start_run(rooms, tmp_path, 100)
    agent = run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    good = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        next(agent.q_net.parameters())[0] = float("nan")
    with pytest.raises(SystemExit) as stopped:
        run.save()
    assert stopped.value.code == 2
    assert (tmp_path / "checkpoint.pt").read_bytes() == good


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_the_best_agent_is_the_one_that_counts(folder, tmp_path):
    rooms = load(folder)
    run = start_run(rooms, tmp_path, 100)
    run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    scores, seen = iter([1.0, 3.0, 2.0]), []
    monitor = {"EVAL_EPISODES": 1}

    def evaluate(agent, episodes, seed, env=None):
        seen.append((episodes, seed))
        return np.full(episodes, next(scores, 7.0))

    vars(rooms.main).update(monitor, evaluate=evaluate)
    weights = []
    for step in (1, 2, 3):
        values = leaves(run.agent.state_dict())
        name = first_weights(values)
        with torch.no_grad():
            values[name][:] = step
        weights.append(step)
        run.evaluate(step, keep_best=True)
    run.finish()
    assert float(np.asarray(leaves(run.agent.state_dict())[name]).flat[0]) == 2.0
    assert run.kept["best_score"] == 3.0
    training, choosing, scoring = {0}, {seed for episodes, seed in seen[:-1]}, {seen[-1][1]}
    assert seen[-1][0] == 100
    assert not training & choosing
    assert not (training | choosing) & scoring
