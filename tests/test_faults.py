"""What goes wrong, in every folder: one clear line, exit status 2, nothing lost. Longer trials: long_faults.py."""

import contextlib
import copy
import importlib.metadata
import importlib.util
import json
import os
import pickle
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import lineage
import numpy as np
import processes
import pytest
import torch
from changed import in_one_process
from damage import damaged, unfit
from folders import TABULAR, importable, leaves, load
from processes import command, files, refused
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

STEPS, MORE = 300, 200  # of a run, and after it was resumed
WITH_MEMORY = [folder for folder in lineage.FOLDERS if (lineage.ROOT / folder / "replay.py").exists()]
WITH_MEMORY = [f for f in WITH_MEMORY if "CAPACITY = " in (lineage.ROOT / f / "main.py").read_text()]
MANY = ("A3C", "DPPO")  # processes
SOME = ["QLearning", "DeepQLearningNetwork(DQN)"]  # a table, a network; all others are in long_faults.py
GROUPED = [pytest.param(folder, marks=pytest.mark.xdist_group(folder)) for folder in lineage.FOLDERS]
every_folder = pytest.mark.parametrize("folder", GROUPED)
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def server():
    yield processes.server()
    processes.server().close()


def rooms_of(folder, path, **constants):
    """The modules of a copy of the folder in which runs are short, and in this process."""
    folder = processes.prepared(folder, path, **{"TOTAL_STEPS": STEPS} | constants)
    with processes.changed.root(folder.parent):
        return in_one_process(load(folder.name))


def train(rooms, path, steps=None, resume=False):
    """As `python main.py` does; the run that has finished, unlocked."""
    run = rooms.harness.Run(rooms.main, None, steps, path, resume)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: hasattr(run, "lock") and run.lock.release())
        stack.enter_context(processes.changed.root(rooms.harness.FOLDER.parent))
        stack.enter_context(importable(rooms.harness.FOLDER.name, rooms))
        rooms.main.train(run, run.kept["seed"], run.kept["total_steps"])
        run.finish()
    return run


@pytest.fixture(scope="module", params=GROUPED)
def trained(request, tmp_path_factory):
    """A folder that was trained: its modules, the run's folder, and the checkpoint."""
    path = tmp_path_factory.mktemp("trained")
    rooms = rooms_of(request.param, path)
    train(rooms, path / "run")
    return SimpleNamespace(
        folder=request.param, rooms=rooms, run=path / "run", kept=rooms.checkpoint.load(path / "run")
    )


@pytest.fixture
def again(trained, tmp_path):
    """The same with a copy of the run, to be gone on with or spoiled. What is set in main.py is set back."""
    shutil.copytree(trained.run, tmp_path / "run")
    rooms, before = trained.rooms, dict(vars(trained.rooms.main))
    yield SimpleNamespace(folder=trained.folder, rooms=rooms, run=tmp_path / "run", kept=copy.deepcopy(trained.kept))
    vars(rooms.main).update(before)


def status_of(function, *arguments, **options):
    """The status with which the call ends the program, 0 if it does not."""
    try:
        function(*arguments, **options)
    except SystemExit as end:
        return end.code
    return 0


def adams(agent):
    return [part for part in vars(agent).values() if isinstance(part, torch.optim.Optimizer)]


# Two runs in one folder


@every_folder
def test_runs_of_one_second_have_folders_of_their_own(folder, tmp_path, monkeypatch):
    rooms = rooms_of(folder, tmp_path)
    monkeypatch.setattr(rooms.checkpoint.time, "strftime", lambda _: "20260101-000000")
    made = [rooms.checkpoint.new_folder(None, 5).name for _ in range(3)]
    assert made == ["20260101-000000-seed5", "20260101-000000-seed5-2", "20260101-000000-seed5-3"]


@pytest.mark.parametrize("folder", ["QLearning"])
def test_two_starts_at_once_are_two_runs(folder, server, tmp_path):
    folder = processes.prepared(folder, tmp_path)
    both = [server.start(folder, "--steps", STEPS, "--seed", 3) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0], [process.stderr for process in both]
    assert len(list(folder.glob("runs/*/result.json"))) == 2


def test_a_run_that_is_trained_is_locked(again, capsys, monkeypatch):
    first = again.rooms.harness.Run(again.rooms.main, None, STEPS + MORE, again.run, resume=True)
    before = files(again.run)
    status = command(again.rooms, monkeypatch, "--resume", "--run", again.run)
    refused(status, capsys.readouterr().err, again.run, "trained by another process")
    assert files(again.run) == before
    first.lock.release()
    if again.folder in SOME:
        train(again.rooms, again.run, STEPS + MORE, resume=True)


@pytest.mark.parametrize("folder", SOME)
def test_a_second_process_is_told_and_a_kill_unlocks(folder, server, tmp_path):
    folder = processes.prepared(folder, tmp_path)
    run = folder / "runs" / "one"
    process = server.start(folder, "--steps", 10**9, "--run", run)
    wait_for(run / "checkpoint.pt", process)
    second = server.run(folder, "--resume", "--run", run)
    refused(second.status, second.stderr, "trained by another process")
    third = server.run(folder, "--run", run)
    refused(third.status, third.stderr, "trained by another process")
    process.kill()
    assert not processes.orphans(folder, 30)
    kept = load(folder.name).checkpoint.load(run)
    resumed = server.run(folder, "--resume", "--steps", kept["step"] + MORE)
    assert resumed.status == 0, resumed.stderr


def wait_for(file, process):
    while not file.exists():
        assert process.poll() is None, process.stderr
        time.sleep(0.01)


# Other settings


def test_the_settings_are_in_the_checkpoint_the_result_and_tensorboard(trained):
    main = (trained.rooms.harness.FOLDER / "main.py").read_text()
    settings = trained.kept["settings"]
    assert all(f"\n{name} = " in main for name in settings)
    assert settings["TOTAL_STEPS"] == STEPS
    assert json.loads((trained.run / "result.json").read_text())["settings"] == settings
    curves = EventAccumulator(str(trained.run)).Reload()
    (text,) = curves.Tensors("settings/text_summary")
    for name, value in settings.items():
        assert f"| {name} | {value} |" in text.tensor_proto.string_val[0].decode()


def test_the_last_points_of_the_curves(trained):
    curves = EventAccumulator(str(trained.run)).Reload()
    speed = curves.Scalars("speed/steps_per_second")
    assert all(point.value > 0 for point in speed)
    scores = [point.step for point in curves.Scalars("eval/score")]
    assert (speed[-1].step, scores[-1]) == (STEPS, STEPS)
    assert len(set(scores)) == len(scores)


def rates(folder):
    """Names of the step sizes that the folder has."""
    names = [n for n in ("LEARNING_RATE", "ACTOR_LEARNING_RATE", "CRITIC_LEARNING_RATE") if n in quick_names(folder)]
    return names or ["ALPHA"]


def quick_names(folder):
    return processes.changed.constants_of(folder)


def test_a_changed_step_size_takes_effect(again, capsys):
    main, names = again.rooms.main, rates(again.folder)
    agents, runs = [], []
    for factor in (1, 8):
        run = shutil.copytree(again.run, again.run.parent / str(factor))
        before = {name: getattr(main, name) for name in names}
        for name in names:
            setattr(main, name, factor * before[name])
        capsys.readouterr()
        runs.append(train(again.rooms, run, STEPS + MORE, resume=True))
        agents.append(runs[-1].agent)
        said = capsys.readouterr().out.splitlines()
        lines = [f"{name} {before[name]!r} -> {factor * before[name]!r}" for name in names]
        assert [line for line in said if " -> " in line] == (lines if factor > 1 else [])
        for name in names:
            setattr(main, name, before[name])
        assert run.joinpath("result.json").read_text().count(f"{factor * before[names[0]]!r}")
    if again.folder in TABULAR:
        assert agents[1].alpha_start == 8 * agents[0].alpha_start
    for factor, run in zip((1, 8), runs, strict=True):
        kept = again.rooms.checkpoint.load(run.path)["agent"]
        done = kept["steps"] if again.folder == "A3C" else kept.get("updates", 1) - 1  # before the last update
        falls = 1 - done / run.agent.learning_steps if hasattr(run.agent, "learning_steps") else 1.0
        for name in [name for name in kept if "optimizer" in name]:
            rate = before[names[1 if name.startswith("critic") else 0]] if len(names) > 1 else before[names[0]]
            assert kept[name]["param_groups"][0]["lr"] == pytest.approx(factor * rate * falls), name
            assert falls > 0 or again.folder == "A3C"  # whose last update has none left
        assert again.folder != "A3C" or run.agent.learning_rate == factor * before["LEARNING_RATE"]


def test_a_changed_total_takes_effect(again, capsys, monkeypatch):
    monkeypatch.setattr(again.rooms.main, "TOTAL_STEPS", STEPS + MORE)
    run = train(again.rooms, again.run, resume=True)
    assert f"TOTAL_STEPS {STEPS} -> {STEPS + MORE}" in capsys.readouterr().out.splitlines()
    assert (run.step, run.kept["total_steps"]) == (STEPS + MORE, STEPS + MORE)
    kept = again.rooms.checkpoint.load(again.run)
    assert (kept["step"], kept["settings"]["TOTAL_STEPS"]) == (STEPS + MORE, STEPS + MORE)


@pytest.mark.parametrize(("name", "value"), [("ENV_ID", "Other-v0"), ("SEED", 77)])
def test_another_task_or_seed_is_refused(again, name, value, capsys):
    before = files(again.run)
    line = f"{name} {getattr(again.rooms.main, name)!r} -> {value!r}"
    setattr(again.rooms.main, name, value)
    status = status_of(again.rooms.harness.Run, again.rooms.main, None, None, again.run, resume=True)
    refused(status, capsys.readouterr().err, line)
    assert files(again.run) == before


def test_settings_that_do_not_fit_are_refused_by_name(again, capsys, monkeypatch):
    names = {"HIDDEN": 9} | {"CAPACITY": 4} | {"N_SKILLS": 4}
    names = {name: value for name, value in names.items() if name in again.kept["settings"]}
    if again.folder in TABULAR:
        return
    for name, value in names.items():
        before = files(again.run)
        line = f"{name} {getattr(again.rooms.main, name)!r} -> {value!r}"
        monkeypatch.setattr(again.rooms.main, name, value)
        refused(status_of(train, again.rooms, again.run, None, resume=True), capsys.readouterr().err, line)
        assert files(again.run) == before
        monkeypatch.undo()


def test_fewer_steps_than_there_are_is_refused(again, capsys, monkeypatch):
    before = files(again.run)
    status = command(again.rooms, monkeypatch, "--resume", "--run", again.run, "--steps", STEPS - 1)
    refused(status, capsys.readouterr().err, STEPS, STEPS - 1)
    assert files(again.run) == before


# Damaged checkpoints


def same(a, b):
    """To the last bit, written anew so as not to believe the folders'."""
    a, b = leaves(a), leaves(b)
    return a.keys() == b.keys() and all(
        type(a[k]) is type(b[k])
        and (
            (torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype)
            if isinstance(a[k], Tensor)
            else (a[k].tobytes() == b[k].tobytes() and a[k].dtype == b[k].dtype)
            if isinstance(a[k], np.ndarray)
            else a[k] == b[k]
        )
        for k in a
    )


def test_damage_is_seen(trained, tmp_path, capsys):
    tried = refusals = 0
    for what, content in damaged((trained.run / "checkpoint.pt").read_bytes(), random.Random(0), 40):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        try:
            kept = trained.rooms.checkpoint.load(tmp_path)
        except SystemExit as end:
            refused(end.code, capsys.readouterr().err, tmp_path / "checkpoint.pt")
            refusals += 1
        else:
            assert same(kept, trained.kept), f"{what}: other numbers"
        assert files(tmp_path) == {"checkpoint.pt": content}
        tried += 1
    assert refusals > tried / 2


def test_entries_that_do_not_fit_are_refused(trained, tmp_path, capsys):
    taken = []
    for what, kept in unfit(trained.kept, random.Random(0), 20):
        run = tmp_path / "run"
        run.mkdir()
        torch.save(kept, run / "checkpoint.pt")
        before = files(run)
        try:
            status = status_of(restore, trained.rooms, run)
        except Exception as error:
            taken.append(f"{what}: {error!r}")
        else:
            if status:
                refused(status, capsys.readouterr().err, run)
                assert files(run) == before | {".lock": b""}, what
            else:
                taken.append(what)
        shutil.rmtree(run)
    assert not taken


def restore(rooms, path):
    """As --resume does before it trains; the best agent is tried too, which counts in the end."""
    run = rooms.harness.Run(rooms.main, None, None, path, resume=True)
    try:
        env = rooms.main.make_env()
        run.restore(rooms.main.make_agent(env, run.kept["seed"]))
    finally:
        run.lock.release()
    return run


class Runs:
    """What runs code when a plain pickle is read."""

    def __reduce__(self):
        return open, (self.marker, "w")


def test_nothing_in_a_file_is_executed(trained, tmp_path, capsys, monkeypatch):
    Runs.marker = str(tmp_path / "marker")
    run = tmp_path / "run"
    run.mkdir()
    torch.save(dict(trained.kept, agent={"q": Runs()}), run / "checkpoint.pt")
    whole = (run / "checkpoint.pt").read_bytes()
    for content in (pickle.dumps(Runs()), pickle.dumps({"agent": Runs()}, protocol=0), whole):
        (run / "checkpoint.pt").write_bytes(content)
        for flags in (["--resume"], ["--record", tmp_path / "film.gif"]):
            refused(command(trained.rooms, monkeypatch, *flags, "--run", run), capsys.readouterr().err, run)
        assert (run / "checkpoint.pt").read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    pickle.loads(pickle.dumps(Runs())).close()
    assert (tmp_path / "marker").exists(), "it would have"


def test_another_algorithms_checkpoint_is_refused(trained, tmp_path, capsys, monkeypatch):
    other = next(f for f in reversed(lineage.FOLDERS) if f != trained.folder)
    torch.save(trained.kept | {"algorithm": other}, tmp_path / "checkpoint.pt")
    status = command(trained.rooms, monkeypatch, "--resume", "--run", tmp_path)
    refused(status, capsys.readouterr().err, other, trained.folder)


# Saving


def test_numbers_that_are_not_finite_are_not_saved(again):
    run = restore(again.rooms, again.run)
    good, state = (again.run / "checkpoint.pt").read_bytes(), run.agent.state_dict()
    run.agent.state_dict = lambda: state  # A3C's is a copy
    for name, leaf in leaves({k: v for k, v in state.items() if "optimizer" not in k}).items():
        is_array = isinstance(leaf, Tensor | np.ndarray) and leaf.dtype in (torch.float32, np.float32, np.float64)
        if not is_array or leaf.size == 0 or name.startswith(".rollout"):
            continue
        with torch.no_grad():
            place = (0,) * leaf.ndim
            before, leaf[place] = leaf[place].item(), random.choice([np.nan, np.inf, -np.inf])
            with pytest.raises(FloatingPointError, match=name.split(".")[1]):
                run.save()
            leaf[place] = before
        assert files(again.run)["checkpoint.pt"] == good
        assert not (again.run / "checkpoint.pt.tmp").exists()
    run.save()


def test_a_loss_that_is_not_finite_stops_the_run(again, capsys, monkeypatch):
    learn, updates = again.rooms.agent.Agent.learn, iter([1, 1, 1])

    def spoiled(*arguments):
        values = learn(*arguments)
        name = next(name for name in values if name.startswith("loss/"))
        return values if next(updates, 0) else values | {name: np.nan}

    monkeypatch.setattr(again.rooms.agent.Agent, "learn", spoiled)
    arguments = ("--resume", "--run", again.run, "--steps", STEPS + MORE)
    status = command(again.rooms, monkeypatch, *arguments)
    line = refused(status, capsys.readouterr().err, "error: loss/", "became nan at step", again.run)
    assert STEPS < int(re.search(r"at step (\d+)", line)[1]) <= STEPS + MORE
    kept = again.rooms.checkpoint.load(again.run)
    assert kept["step"] == STEPS
    assert all(torch.isfinite(value).all() for value in leaves(kept).values() if isinstance(value, Tensor))


def test_a_checkpoint_that_cannot_be_replaced_once_is_replaced_later(again, monkeypatch):
    run = restore(again.rooms, again.run)
    replace, refusals = os.replace, iter([1, 1])

    def held(*names):
        if next(refusals, 0):
            raise PermissionError(13, "in use")
        return replace(*names)

    monkeypatch.setattr(os, "replace", held)
    run.step = STEPS + 1
    run.save()
    assert again.rooms.checkpoint.load(again.run)["step"] == STEPS + 1


def test_what_lasts_ends_the_run_with_one_line(again, capsys, monkeypatch):
    def held(*_):
        raise PermissionError(13, "Permission denied", "checkpoint.pt")

    harness = again.rooms.harness
    monkeypatch.setattr(os, "replace", held)
    write = again.rooms.checkpoint.write
    monkeypatch.setattr(again.rooms.checkpoint, "write", lambda *a, patience: write(*a, patience=0.0))
    monkeypatch.setattr(harness, "SAVE_SECONDS", -1.0)
    before = files(again.run)["checkpoint.pt"]
    saves = []
    save = harness.Run.save
    monkeypatch.setattr(harness.Run, "save", lambda run, last=False: (saves.append(last), save(run, last))[1])
    arguments = ("--resume", "--run", again.run, "--steps", STEPS + MORE)
    refused(command(again.rooms, monkeypatch, *arguments), capsys.readouterr().err, "checkpoint.pt", "denied")
    assert 1 < len(saves) <= harness.FAILED_SAVES + 1
    assert files(again.run)["checkpoint.pt"] == before


def test_a_kill_while_a_checkpoint_is_written_leaves_the_last(again, monkeypatch):
    run = restore(again.rooms, again.run)
    before = files(again.run)["checkpoint.pt"]

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    for module, name in ((torch, "save"), (os, "fsync"), (os, "replace")):
        run.step += 1
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(Killed):
                run.save()
        assert files(again.run)["checkpoint.pt"] == before
    run.save()
    assert again.rooms.checkpoint.load(again.run)["step"] == run.step


def test_a_kill_after_a_checkpoint_loses_no_point_of_the_curves(again, monkeypatch):
    run = restore(again.rooms, again.run)
    write = again.rooms.checkpoint.write

    def killed(*arguments, **options):
        write(*arguments, **options)
        raise ZeroDivisionError

    monkeypatch.setattr(again.rooms.checkpoint, "write", killed)
    run.step += 1
    run.write("eval/score", 1.0)
    with pytest.raises(ZeroDivisionError):
        run.save()
    assert again.rooms.checkpoint.load(again.run)["step"] == STEPS + 1
    shutil.copytree(again.run / ".", again.run.parent / "read")  # as it is now
    points = EventAccumulator(str(again.run.parent / "read")).Reload().Scalars("eval/score")
    assert points[-1].step == STEPS + 1


@linux
@pytest.mark.parametrize("folder", WITH_MEMORY)
def test_saving_and_evaluating_copy_no_memory(folder, tmp_path):
    rooms = rooms_of(folder, tmp_path)
    size = {"ACER": 120_000}.get(folder, 500_000)
    rooms.main.CAPACITY = size
    run = rooms.harness.Run(rooms.main, 0, STEPS, tmp_path / "run")
    agent = run.restore(rooms.main.make_agent(rooms.main.make_env(), 0))
    memory = agent.rollout if folder == "ACER" else agent.replay
    arrays = memory.steps if folder == "ACER" else [memory.transitions]
    for array in arrays:
        array.view(np.uint8)[...] = 1
    vars(memory).update({"taken" if folder == "ACER" else "added": size})
    replay = sum(array.nbytes for array in arrays)
    assert replay > 15e6
    assert peak(lambda: run.save()) < 0.9 * replay, "beside the memory itself"
    assert (tmp_path / "run" / "checkpoint.pt").stat().st_size < 1.3 * replay
    assert peak(lambda: run.snapshot()) < 0.25 * replay
    acting = run.snapshot()
    assert (acting.rollout if folder == "ACER" else acting.replay) is memory


def peak(function):
    """Bytes that this process has in use during the call, beyond those before it."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from now on
    before = status("VmRSS")
    kept = function()
    del kept
    return status("VmHWM") - before


def status(name):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def test_the_pause_after_a_save_grows_with_its_cost(again, monkeypatch):
    if again.folder not in SOME:
        pytest.skip("the plumbing is the same file everywhere")
    harness = again.rooms.harness
    run = restore(again.rooms, again.run)
    now = [0.0]
    monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=lambda: now[0], time=time.time))
    write = again.rooms.checkpoint.write
    saves = []

    def slow(kept, path, patience):
        saves.append(now[0])
        now[0] += cost
        write(kept, path, patience)

    monkeypatch.setattr(again.rooms.checkpoint, "write", slow)
    for cost, pause in ((0.01, harness.SAVE_SECONDS), (4.0, 200.0)):
        run.save()
        run.step, run.last_step = STEPS, 0
        run.last_time = now[0]
        run.bar, saves[:] = contextlib.nullcontext(), []
        monkeypatch.setattr(run, "draw", lambda: None)
        for _ in run.steps(STEPS + 2000):
            now[0] += 1.0
        gaps = np.diff([0.0, *saves[:-1]])[1:]
        assert len(gaps) > 5
        assert gaps.min() >= pause
        assert gaps.max() < pause + cost + 3


# Flags

BAD = [
    ["--steps", "many"], ["--steps", "0"], ["--steps", "-5"], ["--steps", "1.5"], ["--steps", ""], ["--steps", "1e3"],
    ["--steps", "9" * 31], ["--steps", "9" * 5000], ["--steps", "nan"], ["--steps"],
    ["--seed", "-1"], ["--seed", "1.5"], ["--seed", ""], ["--seed", "x"], ["--seed", str(2**32)], ["--seed"],
    ["--seed", "9" * 5000], ["--seed", "٣x"], ["--run", ""], ["--run"], ["--resume", "--run", ""],
    ["--watch", "--run", ""], ["--record", ""], ["--record"], ["--record", "film.mp4"], ["--record", "film"],
    ["--record", ".gif"], ["--fly"], ["film.gif"], [""], ["--resume", "yes"], ["--watch", "--resume"],
    ["--watch", "--record", "film.gif"], ["--resume"], ["--watch"], ["--record", "film.gif"], ["--run", "x" * 5000],
    ["--resume", "--run", "nowhere"],
    ["--resume", "--run", "x" * 5000], ["--watch", "--run", "nowhere"], ["--record", "f.gif", "--run", "x" * 5000],
    ["--run", "main.py"], ["--run", "main.py/run"],
]  # fmt: skip


@every_folder
def test_bad_flags_are_refused(folder, tmp_path, capsys, monkeypatch):
    rooms = rooms_of(folder, tmp_path)
    monkeypatch.chdir(rooms.harness.FOLDER)
    before = files(rooms.harness.FOLDER)
    for flags in BAD:
        refused(command(rooms, monkeypatch, *flags), capsys.readouterr().err)
        assert {k: v for k, v in files(rooms.harness.FOLDER).items() if k != "runs"} == before, flags


def test_flags_that_do_not_fit_a_run_are_refused(again, capsys, monkeypatch):
    before = files(again.run)
    for flags, words in (
        (["--resume", "--seed", 4], "has seed"),
        ([], "--resume"),  # it holds a run
        (["--record", "film.mp4"], ".gif"),
    ):
        refused(command(again.rooms, monkeypatch, *flags, "--run", again.run), capsys.readouterr().err, words)
        assert files(again.run) == before


def test_no_screen_is_said(again, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(again.rooms.harness.sys, "platform", "linux")
    refused(command(again.rooms, monkeypatch, "--watch", "--run", again.run), capsys.readouterr().err, "--record")


def test_a_film_that_cannot_be_written_is_refused_before_it_is_played(again, tmp_path, capsys, monkeypatch):
    def played(*_):
        pytest.fail("it was played")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(again.rooms.main, "evaluate", played)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.gif").mkdir()
    for film in ("nowhere/film.gif", "file/film.gif", "folder.gif", f"{'x' * 300}/film.gif"):
        status = command(again.rooms, monkeypatch, "--run", again.run, "--record", tmp_path / film)
        refused(status, capsys.readouterr().err, tmp_path / film)
    with monkeypatch.context() as patch:
        patch.setattr(
            again.rooms.checkpoint.Path, "touch", lambda _: exec("raise PermissionError(13, 'Permission denied')")
        )
        status = command(again.rooms, monkeypatch, "--run", again.run, "--record", tmp_path / "film.gif")
    refused(status, capsys.readouterr().err, "film.gif", "denied")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.gif", "run"]


# Packages


@every_folder
def test_packages_that_are_missing_or_too_old_are_named(folder, capsys, monkeypatch):
    startup, needed = lineage.ROOT / folder / "startup.py", load(folder).startup.NEEDED
    imported = set(importlib.metadata.packages_distributions()) & {*imports(folder)}
    assert imported <= {*needed, "torch", "pytest"} | {"gymnasium_robotics"}, "what is imported is looked for"
    find, version = importlib.util.find_spec, importlib.metadata.version
    for package, least in needed.items():
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name, p=package: None if name == p else find(name))
            status = status_of(runpy.run_path, str(startup))
        refused(status, capsys.readouterr().err, f"package {package} is missing", "pip install -r requirements.txt")
        major, minor = map(int, least.split("."))
        old = f"{major}.{minor - 1}.9rc1" if minor else f"{major - 1}.99.0"
        with monkeypatch.context() as patch:
            versions = {package: old}
            patch.setattr(importlib.metadata, "version", lambda name, v=versions: v.get(name) or version(name))
            status = status_of(runpy.run_path, str(startup))
        refused(status, capsys.readouterr().err, f"{package} {old}", least, "pip install -r requirements.txt")
    runpy.run_path(str(startup))


def imports(folder):
    """The packages that the folder imports."""
    for file in (lineage.ROOT / folder).glob("*.py"):
        for line in file.read_text().splitlines():
            if found := re.match(r"(?:import|from) (\w+)", line):
                yield found[1]


def test_a_missing_package_is_named_before_anything_needs_it(tmp_path):
    folder = processes.prepared("QLearning", tmp_path)
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'tensorboardX' else find(name, *a)\n"
    )
    process = processes.python(folder, env=os.environ | {"PYTHONPATH": str(folder)})
    refused(process.returncode, process.stderr, "tensorboardX", "pip install")


# The disk


@every_folder
def test_runs_that_is_a_file_is_said(folder, tmp_path, capsys, monkeypatch):
    rooms = rooms_of(folder, tmp_path)
    (rooms.harness.FOLDER / "runs").write_text("in the way")
    before = files(rooms.harness.FOLDER)
    refused(command(rooms, monkeypatch), capsys.readouterr().err, "runs")
    assert files(rooms.harness.FOLDER) == before


@linux
@pytest.mark.parametrize("folder", [*SOME, "A3C"])
def test_a_run_that_is_deleted_while_it_trains_ends_with_one_line(folder, server, tmp_path):
    often = {"SAVE_SECONDS = 30.0": "SAVE_SECONDS = 0.5"}
    folder = processes.prepared(folder, tmp_path, often)
    process = server.start(folder, "--steps", 10**9, "--run", folder / "runs" / "one")
    wait_for(folder / "runs" / "one" / "checkpoint.pt", process)
    shutil.rmtree(folder / "runs")
    refused(process.wait(60), process.stderr, "runs/one")
    assert not processes.orphans(folder)


@linux
@pytest.mark.parametrize("folder", SOME)
def test_a_folder_without_write_right_is_said(folder, server, tmp_path):
    folder = processes.prepared(folder, tmp_path)
    before = files(folder)
    folder.chmod(0o555)
    process = server.run(folder, "--steps", STEPS, ordinary=True)
    refused(process.status, process.stderr, "Permission denied", "runs")
    assert files(folder) == before
    folder.chmod(0o755)
    assert not processes.orphans(folder)


@linux
@pytest.mark.parametrize("folder", SOME)
def test_on_a_full_disk_the_last_checkpoint_stays(folder, server, tmp_path):
    often = {"SAVE_SECONDS = 30.0": "SAVE_SECONDS = 0.0", "50 * (": "0 * ("}
    folder = processes.prepared(folder, tmp_path, often)
    run = tmp_path / "run"
    process = server.run(folder, "--run", run, "--steps", 10**9, file_size=40_000)
    refused(process.status, process.stderr)
    assert not processes.orphans(folder)
    rooms = load_from(folder)
    assert rooms.checkpoint.load(run)["step"] >= 0
    assert not (run / "checkpoint.pt.tmp").exists()
    resumed = server.run(folder, "--resume", "--run", run, "--steps", rooms.checkpoint.load(run)["step"] + MORE)
    assert resumed.status == 0, resumed.stderr


def load_from(folder):
    with processes.changed.root(folder.parent):
        return load(folder.name)


# Signals: all moments of all folders are in long_faults.py


@linux
@pytest.mark.parametrize(
    ("folder", "number"),
    [(SOME[0], signal.SIGHUP), (SOME[1], signal.SIGTERM), *((folder, signal.SIGINT) for folder in MANY)],
)
def test_a_signal_in_an_evaluation_stops_the_run(folder, number, server, tmp_path):
    mark = "agent, seed = self.snapshot(), CHOICE"
    edits = {mark: f"(self.path / 'mark').touch(); {mark}"}
    folder = processes.prepared(folder, tmp_path, edits, EVAL_EPISODES=10**6, EVAL_EVERY=20)
    run = folder / "runs" / "one"
    process = server.start(folder, "--steps", 10**9, "--run", run)
    wait_for(run / "mark", process)
    process.send(number)
    assert process.wait(10) == 128 + number, process.stderr
    assert not processes.orphans(folder)
    (line,) = process.stdout.splitlines()
    assert line.startswith("stopped; saved at step ")
    assert "--resume --run" in line
    assert process.stderr == ""
    kept = load_from(folder).checkpoint.load(run)
    assert kept["step"] >= 20
    assert kept["evaluating"]


def test_a_signal_while_packages_are_imported_ends_the_process(tmp_path):
    folder = processes.prepared("QLearning", tmp_path)
    process = subprocess.Popen(
        [sys.executable, "main.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert len((out + err).splitlines()) == 1, out + err
    assert "stopped" in out + err
    assert not processes.orphans(folder)
