"""The repository around the folders: the progress table, the pictures, the files that each folder has."""

import json
import re
import statistics
import subprocess
import sys

import lineage
import pytest

sys.path.insert(0, str(lineage.ROOT / "benchmarks"))
import ablations
import common
import readme

FILES = {"README.md", "README.zh-CN.md", "model.py", "agent.py", "main.py", "harness.py", "curve.svg"}


@pytest.mark.parametrize("name", readme.READMES)
def test_the_progress_table_is_true(name):
    text = (lineage.ROOT / name).read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| [")]
    table = {re.sub(r"^\[(.*)\]\(<.*>\)$", r"\1", row[0]): row[1:] for row in rows[:20]}
    assert list(table) == list(lineage.PARENT)
    for folder, (family, task, score, solved, seconds, paper) in table.items():
        assert family
        assert task == re.search(r'^ENV_ID = "(.*?)"', (lineage.ROOT / folder / "main.py").read_text(), re.MULTILINE)[1]
        assert paper
        measured = [row for row in common.read(folder) if row.tag == "score"]
        seeds = {row.seed for row in measured}
        assert len(measured) == len(seeds) == max(seeds) - min(seeds) + 1 >= 10, "seeds that follow each other"
        assert score.replace(",", "").startswith(f"{min(row.value for row in measured):.0f}")
        assert solved.split(" / ")[1] == str(len(seeds))
        assert seconds
        assert {row.folder for row in common.read(folder)} == {folder}


@pytest.mark.parametrize("name", readme.READMES)
def test_the_figures_in_the_readmes_are_those_measured(name):
    for path in (lineage.ROOT / name, *(lineage.ROOT / folder / name for folder in lineage.FOLDERS)):
        assert readme.renewed(path) == path.read_text(), f"{path}: python benchmarks/readme.py"


def test_every_variant_in_words_has_a_chinese_name():
    names = {name for variants in ablations.VARIANTS.values() for name in variants}
    assert {name for name in names if re.search("[a-z]{3}", name)} <= set(ablations.CHINESE)
    assert set(ablations.CHINESE) <= names | {ablations.AS_IT_IS}


def result(name):
    return json.loads((common.RESULTS / f"{name}.json").read_text())


def learning(*folders):
    return [f"{result('cliff')[folder]['return_while_learning']:.1f}" for folder in folders]


def speed(name, kind="steps_per_second", digits=1):
    measured = result(f"speed-{name}")
    return [f"{value:,}" for value in measured[kind].values()] + [f"{measured['ratio']:.{digits}f}"]


def robots(folder, main="main_mujoco.py"):
    digits = 0 if main == "main_mujoco.py" and folder != "DIAYN" else 2
    return [f"{row.value:,.{digits}f}" for row in common.read(folder, main) if row.tag == "score"]


def bits():
    reached = [reached for line in result("bits")["goals reached"].values() for reached in line.values()]
    return [f"{statistics.mean(seeds.values()):.2f}" for seeds in reached]


def per():
    measured = result("speed-per")
    return [f"{us / 1000:.2f}" for us in measured["microseconds"].values()] + [f"{measured['ratio']:.2f}"]


def made_for(task):
    """The medians over the seeds of the updates that each agent needed."""
    return [f"{statistics.median(counts):,.0f}" for of in result("made_for")[task].values() for counts in of.values()]


def dqn():
    return [
        f"{result('speed-dqn')[whose][what]:.0f}"
        for whose in ("ours", "stable-baselines3")
        for what in ("seconds", "score")
    ]


def skills():
    returns = sorted(statistics.mean(skill) for skill in result("DIAYN-mujoco")["skills"])
    return [f"{returns[0]:.0f}", f"{returns[-1]:.0f}"]


def pieces(folder, *spans):
    """Of each variant of a folder: the mean of episode/return over spans of its steps, in shares of all."""
    found = []
    for name in common.variants(folder):
        if not name.endswith(".py"):
            rows = common.read(folder, name)
            steps = next(row.env_steps for row in rows if row.tag == "score")
            returns = [(row.env_steps / steps, row.value) for row in rows if row.tag == "episode/return"]
            found += [
                f"{statistics.mean(value for share, value in returns if first < share <= last):.1f}"
                for first, last in spans
            ]
    return found


# what a page says in a sentence, and where it comes from
TOLD = {
    ".": dqn,
    "QLearning": lambda: learning("QLearning", "Sarsa") + pieces("QLearning", (0.5, 1)),
    "Sarsa": lambda: learning("Sarsa", "QLearning") + pieces("Sarsa", (0.5, 1)),
    "SarsaLambda": lambda: learning("SarsaLambda", "Sarsa") + pieces("SarsaLambda", (0, 0.25), (0.5, 1)),
    "DuelingDQN": lambda: made_for("corridor"),
    "DQNwithPER": lambda: per() + made_for("blind cliff walk"),
    "A2C": lambda: speed("a2c"),
    "A3C": lambda: speed("a3c", digits=2),
    "PPO": lambda: speed("ppo"),
    "TRPO": lambda: speed("trpo"),
    "DPPO": lambda: speed("dppo", digits=2),
    "DeepDeterministicPolicyGradient": lambda: (
        speed("ddpg", "updates_per_second") + robots("DeepDeterministicPolicyGradient")
    ),
    "TD3": lambda: speed("td3", "updates_per_second") + robots("TD3"),
    "SAC": lambda: speed("sac", "updates_per_second") + robots("SAC"),
    "DQNwithHER": bits,
    "DDPGwithHER": lambda: robots("DDPGwithHER", "main_push.py"),
    "DIAYN": lambda: robots("DIAYN") + skills(),
}


@pytest.mark.parametrize("name", readme.READMES)
@pytest.mark.parametrize("folder", TOLD)
def test_the_figures_in_sentences_are_those_measured(folder, name):
    text = (lineage.ROOT / folder / name).read_text()
    for figure in TOLD[folder]():
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d])", text), f"{folder}/{name} does not say {figure}"


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
        for code in re.findall(r"\| `((?!python )[^`]+)` \|", text):
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
