"""The repository around the folders: the progress table, the pictures, the files that each folder has."""

import re
import subprocess
import sys

import lineage
import pytest

sys.path.insert(0, str(lineage.ROOT / "benchmarks"))
import readme

FILES = {"README.md", "README.zh-CN.md", "model.py", "agent.py", "main.py", "harness.py", "curve.svg"}


@pytest.mark.parametrize(("name", "yes", "no"), [("README.md", "yes", "not yet"), ("README.zh-CN.md", "√", "未")])
def test_the_progress_table_is_true(name, yes, no):
    text = (lineage.ROOT / name).read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    table = {re.sub(r"^\[(.*)\]\(<.*>\)$", r"\1", row[0]): row[1:] for row in rows[1:21]}
    assert list(table) == list(lineage.PARENT)
    for folder, (done, family, task, score, seconds, paper) in table.items():
        assert family
        assert task
        assert paper
        assert done == (yes if folder in lineage.FOLDERS else no)
        assert (score, seconds) == readme.table_row(folder, zh=name != "README.md")
        if done == yes:
            runs = readme.result(folder)["runs"]
            assert {run["result"]["algorithm"] for run in runs} == {folder}
            assert task == runs[0]["result"]["env_id"]
            assert f"{sum(run['result']['solved'] for run in runs)} " in score
            assert f"{min(run['result']['score'] for run in runs):.0f}" in score


@pytest.mark.parametrize("name", readme.READMES)
def test_the_figures_in_the_readmes_are_those_measured(name):
    for path in (lineage.ROOT / name, *(lineage.ROOT / folder / name for folder in lineage.FOLDERS)):
        assert readme.renewed(path) == path.read_text(), f"{path}: python benchmarks/readme.py"


@pytest.mark.parametrize("folder", lineage.FOLDERS)
def test_a_folder_has_all_its_rooms(folder):
    path = lineage.ROOT / folder
    assert {file.name for file in path.iterdir()} >= FILES
    for name in readme.READMES:
        text = (path / name).read_text()
        assert not re.search(r"@\w+@", text), "a place that was not filled in"
        for bracketed, plain in re.findall(r"\]\((?!https?:)(?:<([^>]+)>|([^)<]+))\)", text):
            target = bracketed or plain
            assert (path / target).exists(), f"{name} of {folder} links to {target}"
        for code in re.findall(r"\| `([^`]+)` \|", text):
            sources = "".join(file.read_text() for file in path.glob("*.py"))
            assert all(part.strip() in sources for part in code.split("...")), f"{name} of {folder} quotes {code}"


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readmes_links_lead_somewhere(readme):
    text = (lineage.ROOT / readme).read_text()
    for target in re.findall(r"\]\(<?(?!https?:)([^>\n]+?)>?\)(?=[\s|,.])", text):
        assert (lineage.ROOT / target).exists(), target


def test_every_version_is_pinned():
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (lineage.ROOT / file).read_text().split():
            assert "==" in line or line in ("-r", "requirements.txt"), line


def make(*arguments):
    return subprocess.run(["make", *arguments], cwd=lineage.ROOT, capture_output=True, text=True, timeout=60)


def test_an_interrupted_set_up_is_begun_anew(tmp_path):
    for file in ("Makefile", "requirements.txt"):
        (tmp_path / file).write_text((lineage.ROOT / file).read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command = ["make", "-n", ".venv/ready", f"PYTHON={sys.executable}"]
    assert "rm -rf .venv" in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    (tmp_path / ".venv" / "ready").touch()
    assert "rm -rf .venv" not in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout


def test_make_help_and_make_diff():
    said = make("help").stdout
    for target in ("train", "test", "curves", "watch", "learn", "diff", "twins"):
        assert f"\n{target} " in "\n" + said
    for name in ("DuelingDQN", '"DuelingDQN"', "'DuelingDQN'"):
        diff = make("diff", f"ALGO={name}", f"PYTHON={sys.executable}")
        assert "+        self.advantage = " in diff.stdout
        assert "harness.py" not in diff.stdout
    assert "has no parent" in make("diff", "ALGO=DQN", f"PYTHON={sys.executable}").stdout
    wrong = make("diff", "ALGO=Nowhere")
    assert wrong.returncode == 2
    assert "Nowhere" in wrong.stderr
