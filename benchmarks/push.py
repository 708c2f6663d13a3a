"""Keep and draw what a run of DDPGwithHER/main_push.py reached, however far it got.

    python benchmarks/push.py RUN_DIR

Writes benchmarks/results/push.json and DDPGwithHER/push.svg, and renews the READMEs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import readme
from common import RESULTS, ROOT, curves, machine
from curves import moving_mean
from matplotlib import rcParams
from matplotlib.figure import Figure

rcParams["svg.hashsalt"] = "push"  # the same data, the same file


def draw(data: dict) -> None:
    """Success of the policy at each evaluation, and while learning, with exploration."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    title = f"DDPGwithHER on FetchPush-v4, seed {data['seed']}"
    axes = figure.add_subplot(xlabel="environment steps", ylabel="success", ylim=(-0.03, 1.03), title=title)
    steps, success = np.array(data["curves"]["episode/success"]).T
    axes.plot(steps, moving_mean(success, max(1, len(success) // 50)), alpha=0.5, label="while learning")
    axes.plot(*np.array(data["curves"]["eval/score"]).T, label="without exploration")
    axes.legend()
    figure.savefig(ROOT / "DDPGwithHER" / "push.svg", metadata={"Date": None})


def main() -> None:
    path = Path(sys.argv[1])
    result = json.loads((path / "result.json").read_text())
    data = result | {"machine": machine(), "curves": curves(path)}
    (RESULTS / "push.json").write_text(json.dumps(data))
    draw(data)
    readme.main()


if __name__ == "__main__":
    main()
