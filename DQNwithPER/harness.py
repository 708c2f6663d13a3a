"""The plumbing, nothing of learning, and the same file in every folder: read it once or never."""

import argparse
import copy
import importlib.util
import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def refuse(message: object) -> None:
    """End the program with one clear line and exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


for package in ("gymnasium", "imageio", "matplotlib", "numpy", "tensorboardX", "torch", "tqdm"):
    if importlib.util.find_spec(package) is None:
        refuse(f"the package {package} is missing; run: pip install -r requirements.txt")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import gymnasium as gym
import imageio
import numpy as np
import torch
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from torch.utils._pytree import tree_leaves
from tqdm import tqdm

FOLDER = Path(__file__).resolve().parent
FINAL_EPISODES = 100  # the score is the mean over this many fresh episodes
CHOICE_SEED, FINAL_SEED = 1_000_000, 2_000_000  # added to the seed: training, choosing and scoring share no episode
SAVE_SECONDS = 30.0  # from one checkpoint to the next
torch.serialization.add_safe_globals(  # a checkpoint holds tensors, plain values and these, no code
    [np._core.multiarray._reconstruct, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQfdV"}]
)


class Run:
    """One training run of the module `task`: its folder, its clock, its curves and its checkpoints (`kept`)."""

    def __init__(self, task, seed: int | None, steps: int | None, path: Path | None, resume: bool = False):
        if resume:
            path, self.kept = load(path)
            if seed not in (None, self.kept["seed"]):
                refuse(f"the run in {path} has seed {self.kept['seed']}: leave --seed out")
        else:
            seed = task.SEED if seed is None else seed
            path = path or FOLDER / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
            if (path / "checkpoint.pt").exists():
                refuse(f"{path} holds a run already; --resume goes on with it")
            path.mkdir(parents=True, exist_ok=True)
            self.kept = {"algorithm": FOLDER.name, "env_id": task.ENV_ID, "seed": seed, "total_steps": task.TOTAL_STEPS}
            self.kept |= {"step": 0, "train_seconds": 0.0, "best_score": -math.inf, "best": None, "agent": None}
        self.kept["total_steps"] = steps or self.kept["total_steps"]
        self.task, self.path, self.interrupted = task, path, False
        self.step = self.last_step = self.kept["step"]
        self.last_time, self.last_save, self.sums, self.shown = time.perf_counter(), 0.0, {}, {}
        self.bar = tqdm(total=self.kept["total_steps"], initial=self.step, unit=" steps", disable=None)
        self.events = EventsWriter(str(path / "events"), filename_suffix=f".{self.step}.{os.getpid()}")
        if resume:  # TensorBoard drops what was drawn after the checkpoint
            self.events.write_event(Event(step=self.step + 1, session_log=SessionLog(status=SessionLog.START)))

    def restore(self, agent):
        """Tie `agent` to this run, to be saved with it; after --resume give it back all it had. Returns it."""
        self.agent = agent
        if self.kept["agent"]:
            fill(agent, self.kept["agent"], self.path)
        self.save()
        return agent

    def steps(self, total_steps: int, by: int = 1) -> Iterator[int]:
        """Count environment steps, `by` at a time, up to `total_steps`; between them draw, save, or stop at Ctrl-C."""
        while self.step < total_steps:
            yield self.step + by
            self.step += by
            if self.step - self.last_step >= min(1000, total_steps // 500) or self.interrupted:
                self.draw()
                if self.interrupted or time.perf_counter() - self.last_save > SAVE_SECONDS:
                    self.save()
            if self.interrupted:
                raise KeyboardInterrupt
        self.draw()
        self.bar.close()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Note values for the curves. A point is the mean of all that was noted since the point before it."""
        for tag, value in values.items():
            if not math.isfinite(value):
                refuse(f"{tag} became {value} at step {step}; the last good checkpoint is in {self.path}")
            total, count = self.sums.get(tag, (0.0, 0))
            self.sums[tag] = total + float(value), count + 1

    def evaluate(self, step: int, keep_best: bool = False) -> None:
        """Draw the agent's score as it is now. With `keep_best` the best agent seen is the one that counts."""
        score = float(self.task.evaluate(self.agent, self.task.EVAL_EPISODES, CHOICE_SEED + self.kept["seed"]).mean())
        self.log(step, {"eval/score": score})
        if keep_best and score >= self.kept["best_score"]:  # the replay memory takes no part in acting
            best = {name: value for name, value in self.agent.state_dict().items() if name != "replay"}
            self.kept |= {"best_score": score, "best": copy.deepcopy(best)}

    def write(self, tag: str, value: float | np.ndarray) -> None:
        """Put a number, or a picture of bytes [height, width, 3], into the TensorBoard file at once."""
        value = summary.image(tag, value, dataformats="HWC") if np.ndim(value) else summary.scalar(tag, value)
        self.events.write_event(Event(step=self.step, wall_time=time.time(), summary=value))

    def draw(self) -> None:
        """Put a point on every curve and move the progress bar."""
        seconds, count = time.perf_counter() - self.last_time, self.step - self.last_step
        points = {tag: total / n for tag, (total, n) in self.sums.items()} | {"speed/steps_per_second": count / seconds}
        for tag, value in points.items():
            self.write(tag, value)
            if tag == "episode/return" or tag.startswith("policy/"):
                self.shown[tag.split("/")[1]] = f"{value:.4g}"
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(count)
        self.kept["train_seconds"] += seconds
        self.sums, self.last_step, self.last_time = {}, self.step, time.perf_counter()

    def save(self) -> None:
        """Write the checkpoint, unless the agent is broken."""
        self.kept |= {"step": self.step, "agent": self.agent.state_dict()}
        if not all(leaf.isfinite().all() for leaf in tree_leaves(self.kept) if isinstance(leaf, torch.Tensor)):
            refuse(f"the agent is not finite at step {self.step}; the last good checkpoint is in {self.path}")
        torch.save(self.kept, memory := io.BytesIO())
        replace(self.path / "checkpoint.pt", memory.getbuffer())
        self.events.flush()
        self.last_save = time.perf_counter()

    def finish(self) -> None:
        """Save, score the best agent on fresh episodes, write result.json and say whether the task is solved."""
        self.save()
        self.agent.load_state_dict(self.kept["agent"] | (self.kept["best"] or {}))
        scores = self.task.evaluate(self.agent, FINAL_EPISODES, FINAL_SEED + self.kept["seed"])
        score, std, wanted = float(scores.mean()), float(scores.std()), self.task.SOLVED_SCORE
        solved = bool(score >= wanted and getattr(self.task, "also_required", lambda agent: True)(self.agent))
        self.write("eval/score", score)
        self.events.close()
        result = {name: self.kept[name] for name in ("algorithm", "env_id", "seed", "train_seconds")}
        result |= {"env_steps": self.step, "score": score, "score_std": std, "eval_episodes": FINAL_EPISODES}
        result |= {"solved_score": wanted, "solved": solved}
        replace(self.path / "result.json", json.dumps(result, indent=2).encode())
        print(
            "solved:" if solved else "NOT solved:",
            f"score {score:.2f} ± {std:.2f} over {FINAL_EPISODES} episodes,",
            end=" ",
        )
        print(f"wanted {wanted:g}; saved in {self.path}")


def replace(path: Path, content: bytes) -> None:
    """Write a file beside `path`, then over it: at any moment there is one that loads."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)


def load(path: Path | None) -> tuple[Path, dict]:
    """The run folder at `path`, or else the newest, and what its checkpoint holds."""
    files = [path / "checkpoint.pt"] if path else sorted(FOLDER.glob("runs/*/checkpoint.pt"))
    if not files:
        refuse(f"no trained agent in {FOLDER / 'runs'} yet; train one: python main.py")
    content = io.BytesIO(files[-1].read_bytes())
    try:
        kept = torch.load(content, weights_only=True)
        if kept["algorithm"] != FOLDER.name:
            refuse(f"{files[-1]} is of {kept['algorithm']}, not of {FOLDER.name}")
    except Exception:  # torch has many ways to say that it cannot read a file
        refuse(f"{files[-1]} is cut short, or not a checkpoint of this program")
    return files[-1].parent, kept


def fill(agent, state: dict, path: Path) -> None:
    """Give `agent` what a checkpoint holds."""
    try:
        agent.load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        refuse(f"{path} does not fit the hyperparameters in main.py ({str(error).splitlines()[0]})")


def show(task, path: Path | None, film: Path | None) -> None:
    """Play with a trained agent: five episodes in a window, or one into the GIF `film`."""
    if not film and sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        refuse("no screen to open a window on; write a film instead: --record FILE.gif")
    path, kept = load(path)
    env = gym.wrappers.RenderCollection(task.make_env("rgb_array")) if film else task.make_env("human")
    fill(agent := task.make_agent(env, kept["seed"]), kept["agent"] | (kept["best"] or {}), path)
    for episode in range(1 if film else 5):
        print(f"score {task.evaluate(agent, 1, FINAL_SEED + kept['seed'] + episode, env)[0]:.2f}")
    if film:  # every second frame, at half size
        frames, pause = [frame[::2, ::2] for frame in env.render()[::2]], 2000 / env.metadata["render_fps"]
        imageio.mimsave(memory := io.BytesIO(), frames, format="gif", duration=pause, loop=0)
        replace(film, memory.getbuffer())
    env.close()


def main() -> None:
    """Serve the command line of the main.py that was started."""
    task = sys.modules["__main__"]
    parser = argparse.ArgumentParser(description=task.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = refuse
    parser.add_argument("--seed", type=int, help=f"seed of everything random (default: {task.SEED})")
    parser.add_argument("--steps", type=int, help=f"environment steps to train (default: {task.TOTAL_STEPS})")
    parser.add_argument("--run", type=Path, metavar="DIR", help="the run's folder (default: a new one, or the newest)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    mode.add_argument("--watch", action="store_true", help="open a window and watch the trained agent")
    mode.add_argument("--record", type=Path, metavar="FILE.gif", help="film the trained agent")
    args = parser.parse_args()
    if (args.steps is not None and args.steps < 1) or (args.seed or 0) < 0:
        refuse("--steps has to be at least 1, and --seed at least 0")
    torch.set_num_threads(1)  # networks this small gain nothing from more
    try:
        if args.watch or args.record:
            return show(task, args.run, args.record)
        run = Run(task, args.seed, args.steps, args.run, args.resume)
        signal.signal(signal.SIGINT, lambda *_: setattr(run, "interrupted", True))
        task.train(run, run.kept["seed"], run.kept["total_steps"])
        run.finish()
    except KeyboardInterrupt:
        print(f"stopped; saved at step {run.step}. Go on with: python main.py --resume --run {run.path}")
        sys.exit(130)
    except (OSError, ModuleNotFoundError, gym.error.Error) as error:
        refuse(error)
