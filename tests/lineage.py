"""Whose child each folder is, and the twins: pieces that are the same to the letter in parent and child.

    python tests/lineage.py twins          rewrite the copies from the first folder of the lineage that holds the piece
    python tests/lineage.py diff FOLDER    a folder against its parent

A piece is a whole file of the plumbing, or a function, a method, or the head of a class (its docstring, what stands
before the first method) in another file. A piece that a child has from its parent is a twin, unless DIFFERS names it.
"""

import ast
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PARENT = {  # in the order in which they are read
    "QLearning": None,
    "Sarsa": "QLearning",
    "SarsaLambda": "Sarsa",
    "DeepQLearningNetwork(DQN)": None,
    "DuelingDQN": "DeepQLearningNetwork(DQN)",
    "DQNwithPER": "DeepQLearningNetwork(DQN)",
    "PolicyGradient(PG)": None,
    "ActorCritic": "PolicyGradient(PG)",
    "A2C": "ActorCritic",
    "A3C": "A2C",
    "ACER": "A2C",
    "PPO": "A2C",
    "TRPO": "PPO",
    "DPPO": "PPO",
    "DeepDeterministicPolicyGradient": None,
    "TD3": "DeepDeterministicPolicyGradient",
    "SAC": "TD3",
    "DQNwithHER": "DeepQLearningNetwork(DQN)",
    "DDPGwithHER": "DeepDeterministicPolicyGradient",
    "DIAYN": "SAC",
}
FOLDERS = [folder for folder in PARENT if (ROOT / folder / "main.py").exists()]

DIFFERS = {  # what the child's algorithm changes
    "Sarsa": {"agent.py": {"Agent.learn"}, "main.py": {"train"}},
    "SarsaLambda": {"agent.py": {"Agent", "Agent.__init__", "Agent.learn"}, "main.py": {"make_agent", "train"}},
    "DuelingDQN": {"model.py": {"QNetwork", "QNetwork.__init__", "QNetwork.forward"}},
    "DQNwithPER": {"agent.py": {"Agent.__init__", "Agent.learn"}, "main.py": {"make_agent"}},
    "ActorCritic": {
        "agent.py": {"Agent", "Agent.__init__", "Agent.learn", "Agent.state_dict", "Agent.load_state_dict"},
        "replay.py": {"Batch", "Rollout.__init__"},
        "main.py": {"make_agent", "train"},
    },
    "A2C": {
        "agent.py": {"Agent.__init__", "Agent.learn"},
        "replay.py": {"Batch", "Rollout", "Rollout.__init__", "Rollout.add"},
        "main.py": {"make_agent", "train"},
    },
    "A3C": {
        "agent.py": {"Agent", "Agent.__init__", "Agent.learn", "Agent.state_dict", "Agent.load_state_dict"},
        "main.py": {"make_agent", "train"},
    },
    "ACER": {
        "model.py": {"Critic", "Critic.__init__", "Critic.forward"},
        "replay.py": {"Batch", "Rollout", "Rollout.__init__", "Rollout.add", "Rollout.take"},
        "agent.py": {"Agent.__init__", "Agent.learn", "Agent.state_dict", "Agent.load_state_dict"},
        "main.py": {"make_agent"},
    },
    "PPO": {
        "model.py": {"Actor", "Actor.__init__", "Actor.forward"},
        "replay.py": {"Batch", "Rollout", "Rollout.__init__"},
        "agent.py": {"Agent", "Agent.__init__", "Agent.act", "Agent.learn"},
        "main.py": {"make_env", "make_agent", "train"},
    },
    "TRPO": {
        "agent.py": {"Agent", "Agent.__init__", "Agent.learn", "Agent.state_dict", "Agent.load_state_dict"},
        "main.py": {"make_agent", "train"},
    },
    "DPPO": {
        "agent.py": {"Agent", "Agent.__init__", "Agent.learn", "Agent.update", "Agent.load_state_dict"},
        "main.py": {"train"},
        "main_mujoco.py": {"Agent", "Agent.learn"},
    },
    "TD3": {
        "model.py": {"Critic", "Critic.__init__", "Critic.forward"},
        "agent.py": {
            "Agent.__init__",
            "Agent.learn",
            "Agent.learn_critic",
            "Agent.learn_actor",
            "Agent.state_dict",
            "Agent.load_state_dict",
        },
        "main.py": {"make_agent"},
    },
    "SAC": {
        "model.py": {"Actor", "Actor.__init__", "Actor.forward"},
        "agent.py": {
            "Agent.__init__",
            "Agent.act",
            "Agent.learn",
            "Agent.learn_critic",
            "Agent.learn_actor",
            "Agent.move_targets",
            "Agent.state_dict",
            "Agent.load_state_dict",
        },
        "main.py": {"make_agent", "train"},
    },
    "DQNwithHER": {
        "replay.py": {
            "ReplayBuffer",
            "ReplayBuffer.__init__",
            "ReplayBuffer.add",
            "ReplayBuffer.sample",
            "ReplayBuffer.state_dict",
            "ReplayBuffer.load_state_dict",
        },
        "main.py": {"make_env", "make_agent", "train", "evaluate"},
    },
    "DDPGwithHER": {
        "model.py": {"Actor.__init__", "Actor.forward", "Critic.__init__", "Critic.forward"},
        "replay.py": {
            "ReplayBuffer",
            "ReplayBuffer.__init__",
            "ReplayBuffer.add",
            "ReplayBuffer.sample",
            "ReplayBuffer.state_dict",
            "ReplayBuffer.load_state_dict",
        },
        "agent.py": {"Agent.__init__", "Agent.act", "Agent.learn", "Agent.learn_critic", "Agent.learn_actor"},
        "main.py": {"make_env", "make_agent", "train", "evaluate"},
    },
    "DIAYN": {
        "agent.py": {"Agent.__init__", "Agent.learn", "Agent.learn_critic", "Agent.learn_actor"},
        "main.py": {"make_env", "make_agent", "train", "evaluate"},
        "main_mujoco.py": {"make_env"},
    },
}
PLUMBING = ("startup.py", "harness.py", "checkpoint.py", "spaces.py")  # the same files in every folder
EVERYWHERE = {"main.py": {"evaluate"}, "replay.py": {"ReplayBuffer"}}  # twins also from root to root
ALSO = [  # twins that differ from the parents of both
    ("DQNwithHER", "DDPGwithHER", "main.py", "evaluate"),
    ("DQNwithHER", "DDPGwithHER", "replay.py", ""),
]


def pieces(source: str) -> dict[str, tuple[int, int]]:
    """Name -> first line and line after the last, counted from 0, of every piece of a file."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = (start(node), node.end_lineno)
        elif isinstance(node, ast.ClassDef):
            methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
            found[node.name] = (start(node), start(methods[0]) if methods else node.end_lineno)
            found |= {f"{node.name}.{method.name}": (start(method), method.end_lineno) for method in methods}
    return found


def start(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1


def text(source: str, name: str) -> str:
    first, end = pieces(source)[name]
    return "\n".join(source.splitlines()[first:end]).rstrip()


def twins() -> list[tuple[str, str, str, str]]:
    """All (folder that holds it first, folder that copies it, file, piece); piece "" is the whole file."""
    result = [(FOLDERS[0], folder, file, "") for folder in FOLDERS[1:] for file in PLUMBING]
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            for name in pieces(path.read_text()):
                first = PARENT[folder] if held(PARENT[folder], path.name, name) else None
                if not first and name.split(".")[0] in EVERYWHERE.get(path.name, ()):
                    first = next(f for f in FOLDERS if held(f, path.name, name))
                if first and first != folder and name not in DIFFERS.get(folder, {}).get(path.name, ()):
                    result.append((first, folder, path.name, name))
    return result + [twin for twin in ALSO if {*twin[:2]} <= {*FOLDERS}]


def held(folder: str | None, file: str, name: str) -> bool:
    path = ROOT / str(folder) / file
    return file not in PLUMBING and path.exists() and name in pieces(path.read_text())


def same(first: str, copy: str, file: str, name: str) -> bool:
    one, other = (ROOT / first / file).read_text(), (ROOT / copy / file).read_text()
    return text(one, name) == text(other, name) if name else one == other


def rewrite(first: str, copy: str, file: str, name: str) -> None:
    """Write the piece of `first` into `copy`."""
    one, path = (ROOT / first / file).read_text(), ROOT / copy / file
    if name:
        lines = path.read_text().splitlines()
        begin, end = pieces(path.read_text())[name]
        gap = len(lines[begin:end]) - len("\n".join(lines[begin:end]).rstrip().splitlines())
        lines[begin:end] = [*text(one, name).splitlines(), *[""] * gap]
        one = "\n".join(lines) + "\n"
    path.write_text(one)


def changes(parent: str, child: str, file: str) -> list[str]:
    """The lines that `diff` marks with + or - between two folders' files, docstring of the module left out."""
    sources = [(ROOT / folder / file).read_text() for folder in (parent, child)]
    for i, source in enumerate(sources):
        first = ast.parse(source).body[0]
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        sources[i] = source.splitlines()[first.end_lineno if is_docstring else 0 :]
    return [line for line in difflib.ndiff(*sources) if line[0] in "+-"]


def main(arguments: list[str]) -> int:
    match arguments:
        case ["twins"]:
            for twin in twins():
                if not same(*twin):
                    rewrite(*twin)
                    print(f"{twin[1]}/{twin[2]}: {twin[3] or 'whole file'} from {twin[0]}")
        case ["diff", folder] if PARENT.get(folder):
            for path in sorted((ROOT / folder).glob("*.py")):
                old = ROOT / PARENT[folder] / path.name
                old_lines = old.read_text().splitlines() if old.exists() else []
                names = (f"{PARENT[folder]}/{path.name}", f"{folder}/{path.name}")
                print(*difflib.unified_diff(old_lines, path.read_text().splitlines(), *names, lineterm=""), sep="\n")
        case ["diff", folder]:
            print(f"{folder} has no parent")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
