"""Draw what DIAYN has learned with seed 0: one colour a skill.

python benchmarks/skills.py

Trains DIAYN/main.py and writes DIAYN/skills.svg.
"""

import sys
import tempfile
from pathlib import Path

import torch
from common import ROOT, run
from matplotlib import rcParams

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

rcParams["svg.hashsalt"] = "skills"  # the same data, the same file


def main() -> None:
    torch.set_num_threads(1)
    rooms = load("DIAYN")
    with tempfile.TemporaryDirectory() as scratch:
        run("DIAYN", Path(scratch) / "run", "--seed", "0")
        kept = rooms.checkpoint.load(Path(scratch) / "run")
    agent = rooms.main.make_agent(env := rooms.main.make_env(), 0)
    agent.load_state_dict(kept["agent"] | kept["best"])
    figure = rooms.picture.draw(agent, env, rooms.main.N_SKILLS)
    figure.savefig(ROOT / "DIAYN" / "skills.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
