"""The folders share no code, and do not drift."""

import ast

import lineage
import pytest

CHILDREN = [folder for folder in lineage.FOLDERS if lineage.PARENT[folder]]
AGENT_LINES = {  # that may differ from the parent's
    "Sarsa": 15, "SarsaLambda": 30, "DuelingDQN": 0, "DQNwithPER": 25, "ActorCritic": 50, "A2C": 45, "A3C": 65,
    "ACER": 120, "PPO": 62, "TRPO": 105, "DPPO": 30, "TD3": 30, "SAC": 60, "DQNwithHER": 0, "DDPGwithHER": 15,
    "DIAYN": 45,
}  # fmt: skip


@pytest.mark.parametrize("twin", lineage.twins(), ids=lambda twin: ":".join(twin[1:]))
def test_twins_are_the_same_to_the_letter(twin):
    assert lineage.same(*twin), f"{twin[1]}/{twin[2]} {twin[3]} is not as in {twin[0]}: make twins"


def test_what_is_said_to_differ_does():
    for folder, files in lineage.DIFFERS.items():
        if folder in lineage.FOLDERS:
            for file, names in files.items():
                for name in names:
                    held = lineage.held(lineage.PARENT[folder], file, name)
                    assert held, f"{folder}/{file}: the parent has no {name}"
                    assert not lineage.same(lineage.PARENT[folder], folder, file, name), f"{folder}/{file}: {name}"


def test_a_changed_copy_is_found_and_rewritten(tmp_path, monkeypatch):
    for folder in ("QLearning", "Sarsa"):
        (tmp_path / folder).mkdir()
        for path in (lineage.ROOT / folder).glob("*.py"):
            (tmp_path / folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(lineage, "ROOT", tmp_path)
    monkeypatch.setattr(lineage, "FOLDERS", ["QLearning", "Sarsa"])
    for file, old, new in [
        ("agent.py", "argmax(", "argmin("),
        ("harness.py", "30.0", "31.0"),
        ("main.py", "+= r", "-= r"),
    ]:
        path = tmp_path / "Sarsa" / file
        assert old in path.read_text()
        good = path.read_text()
        path.write_text(good.replace(old, new))
        assert any(not lineage.same(*twin) for twin in lineage.twins())
        lineage.main(["twins"])
        assert path.read_text() == good


@pytest.mark.parametrize("folder", CHILDREN)
def test_the_diff_to_the_parent_stays_small(folder, capsys):
    parent = lineage.PARENT[folder]
    files = [path.name for path in (lineage.ROOT / folder).glob("*.py") if (lineage.ROOT / parent / path.name).exists()]
    counts = {file: len(lineage.changes(parent, folder, file)) for file in sorted(files)}
    with capsys.disabled():
        print(f"\n{parent} -> {folder}: lines that differ: {counts}")
    assert not any(counts[file] for file in lineage.PLUMBING)
    assert counts["agent.py"] <= AGENT_LINES[folder]


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_no_folder_imports_from_another(folder):
    outside = {
        "argparse",
        "collections",
        "contextlib",
        "copy",
        "datetime",
        "functools",
        "importlib",
        "itertools",
        "json",
        "math",
        "multiprocessing",
        "os",
        "pathlib",
        "re",
        "shlex",
        "signal",
        "subprocess",
        "sys",
    }
    outside |= {
        "time",
        "typing",
        "zipfile",
        "filelock",
        "gymnasium",
        "imageio",
        "matplotlib",
        "numpy",
        "pygame",
        "tensorboardX",
        "torch",
        "tqdm",
    }
    own = {path.stem for path in (lineage.ROOT / folder).glob("*.py")}
    for path in (lineage.ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
                assert node.level == 0
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.split(".")[0] for name in names} <= outside | own, path


LEARNING = {"model.py", "replay.py", "noise.py", "agent.py"}


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_every_room_keeps_to_its_work(folder):
    def imports(path):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        whole = {alias.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        return whole | {n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}

    for path in (lineage.ROOT / folder).glob("*.py"):
        if path.name in LEARNING:
            assert not imports(path) & {"gymnasium", "tensorboardX", "tqdm", "pathlib", "os", "io", "harness"}, path
        if path.name == "main.py":
            assert not imports(path) & {"torch", "argparse", "pathlib", "os", "io", "sys"}, path
        if path.name in lineage.PLUMBING:
            assert not imports(path) & {"agent", "model", "replay", "env", "main"}, path


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_a_folder_is_short_enough_to_read(folder):
    def lines(file):
        path = lineage.ROOT / folder / file
        return len(path.read_text().splitlines()) if path.exists() else 0

    assert sum(map(lines, ("model.py", "replay.py", "noise.py", "agent.py", "main.py"))) <= 350
    assert lines("harness.py") < 280
    assert sum(map(lines, lineage.PLUMBING)) < 630
