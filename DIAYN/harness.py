"""The plumbing, nothing of learning, and the same file in every folder: read it once or never."""

import argparse
import copy
import importlib.util
import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def refuse(message: object) -> None:
    """End the program with one clear line and exit status 2."""
    print("\r\x1b[K" * sys.stderr.isatty() + f"error: {message}", file=sys.stderr)  # over the progress bar
    sys.exit(2)


for package in ("gymnasium", "imageio", "matplotlib", "numpy", "tensorboardX", "torch", "tqdm"):
    if importlib.util.find_spec(package) is None:
        refuse(f"the package {package} is missing; run: pip install -r requirements.txt")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import gymnasium as gym
import imageio
import numpy as np
import torch
from tensorboardX import event_file_writer, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from torch.utils._pytree import tree_leaves
from tqdm import tqdm

FOLDER = Path(__file__).resolve().parent
FINAL_EPISODES = 100  # the score is the mean over this many fresh episodes
CHOICE_SEED, FINAL_SEED = 1_000_000, 2_000_000  # added to the seed: training, choosing and scoring share no episode
SAVE_SECONDS = 30.0  # from one checkpoint to the next
torch.serialization.add_safe_globals([np._core.multiarray._reconstruct, np.ndarray, np.dtype, bytes])
torch.serialization.add_safe_globals(list({type(np.dtype(code)) for code in "?bBhHiIlLqQfdV"}))


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
            self.kept |= {"step": 0, "train_seconds": 0.0, "best_score": -np.inf, "best": None, "agent": None}
        self.kept["total_steps"] = steps or self.kept["total_steps"]
        self.task, self.path, self.interrupted, self.values, self.shown = task, path, False, {}, {}
        self.step, self.last_step, self.last_time = self.kept["step"], self.kept["step"], time.perf_counter()
        self.bar = tqdm(total=self.kept["total_steps"], initial=self.step, unit=" steps", disable=None)
        self.events = event_file_writer.EventsWriter(f"{path}/events", filename_suffix=f".{self.step}.{os.getpid()}")
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
        with self.bar:
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

    def log(self, step: int, values: dict[str, float]) -> None:
        """Note values for the curves. A point is the mean of all that was noted since the point before it."""
        for tag, value in values.items():
            if not np.isfinite(value):
                refuse(f"{tag} became {value} at step {step}; the last good checkpoint is in {self.path}")
            self.values.setdefault(tag, []).append(value)

    def evaluate(self, step: int, keep_best: bool = False) -> None:
        """Draw the agent's score as it is now. With `keep_best` the best agent seen is the one that counts."""
        agent = copy.deepcopy(self.agent)  # other processes may go on changing the original
        score = float(self.task.evaluate(agent, self.task.EVAL_EPISODES, CHOICE_SEED + self.kept["seed"]).mean())
        self.log(step, {"eval/score": score})
        if keep_best and score >= self.kept["best_score"]:  # the replay memory takes no part in acting
            self.kept |= {"best_score": score, "best": {k: v for k, v in agent.state_dict().items() if k != "replay"}}

    def write(self, tag: str, value: float | np.ndarray) -> None:
        """Put a number, or a picture of bytes [height, width, 3], into the TensorBoard file at once."""
        value = summary.image(tag, value, dataformats="HWC") if np.ndim(value) else summary.scalar(tag, value)
        self.events.write_event(Event(step=self.step, wall_time=time.time(), summary=value))

    def draw(self) -> None:
        """Put a point on every curve and move the progress bar."""
        seconds, count = time.perf_counter() - self.last_time, self.step - self.last_step
        points = {tag: float(np.mean(values)) for tag, values in self.values.items()}
        for tag, value in (points | {"speed/steps_per_second": count / seconds}).items():
            self.write(tag, value)
        self.shown |= {t.split("/")[1]: points[t] for t in points if t.startswith(("episode/return", "policy/"))}
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(count)
        self.kept["train_seconds"] += seconds
        self.values, self.last_step, self.last_time = {}, self.step, time.perf_counter()

    def save(self) -> None:
        """Write a checkpoint, if the agent is sound: beside the last one, then over it, so that there is always one."""
        self.kept |= {"step": self.step, "agent": self.agent.state_dict()}
        if not all(leaf.isfinite().all() for leaf in tree_leaves(self.kept) if isinstance(leaf, torch.Tensor)):
            refuse(f"the agent is not finite at step {self.step}; the last good checkpoint is in {self.path}")
        torch.save(self.kept, memory := io.BytesIO())
        (self.path / "checkpoint.pt.tmp").write_bytes(memory.getbuffer())
        os.replace(self.path / "checkpoint.pt.tmp", self.path / "checkpoint.pt")
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
        result |= {"env_steps": self.step, "eval_episodes": FINAL_EPISODES, "solved_score": wanted, "solved": solved}
        (self.path / "result.json").write_text(json.dumps(result | {"score": score, "score_std": std}, indent=2))
        verdict = f"{'solved' if solved else 'NOT solved'} (wanted: {wanted:g})"
        print(f"score {score:.2f} ± {std:.2f} over {FINAL_EPISODES} episodes: {verdict}; saved in {self.path}")


def load(path: Path | None) -> tuple[Path, dict]:
    """The run folder at `path`, or else the newest, and what its checkpoint holds."""
    files = [path / "checkpoint.pt"] if path else sorted(FOLDER.glob("runs/*/checkpoint.pt"))
    file = files[-1] if files else refuse(f"no trained agent in {FOLDER / 'runs'} yet; train one: python main.py")
    try:
        kept = torch.load(file, weights_only=True)
        if kept["algorithm"] != FOLDER.name:
            refuse(f"{file} is of {kept['algorithm']}, not of {FOLDER.name}")
    except Exception:  # torch has many ways to say that it cannot read a file
        refuse(f"{file} is {'cut short, or no checkpoint of ours' if file.exists() else 'not there'}")
    return file.parent, kept


def fill(agent, state: dict, path: Path) -> None:
    """Give `agent` what a checkpoint holds."""
    try:
        agent.load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        refuse(f"{path} does not fit the hyperparameters in main.py ({str(error).splitlines()[0]})")


def show(task, path: Path | None, film: Path | None) -> None:
    """Play with a trained agent: five episodes in a window, or one into the GIF `film`, at half size."""
    if film and film.suffix != ".gif":
        refuse(f"{film} has to end in .gif")
    if (linux := sys.platform == "linux") and not film and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        refuse("no screen to open a window on; write a film instead: --record FILE.gif")
    path, kept = load(path)
    os.environ |= {"SDL_VIDEODRIVER": "dummy", "MUJOCO_GL": "egl"} | os.environ if film and linux else {}
    try:
        env = task.make_env("rgb_array" if film else "human")
        env = gym.wrappers.RenderCollection(env, reset_clean=False) if film else env
        fill(agent := task.make_agent(env, kept["seed"]), kept["agent"] | (kept["best"] or {}), path)
        for episode in range(getattr(task, "SHOWN_EPISODES", 1 if film else 5)):
            print(f"score {task.evaluate(agent, 1, FINAL_SEED + kept['seed'] + episode, env)[0]:.2f}")
    except Exception as error:  # OpenGL, by which MuJoCo draws, has many ways to say that it is not there
        refuse(f"{task.ENV_ID} cannot be shown: {error!r}; if MuJoCo cannot draw, try MUJOCO_GL=egl or osmesa")
    if film:
        imageio.mimsave(film, [f[::2, ::2] for f in env.render()], duration=1000 / env.metadata["render_fps"], loop=0)


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
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
            return show(task, args.run, args.record)
        run = Run(task, args.seed, args.steps, args.run, args.resume)
        signal.signal(signal.SIGINT, lambda *_: setattr(run, "interrupted", True))
        task.train(run, run.kept["seed"], run.kept["total_steps"])
        run.finish()
    except KeyboardInterrupt:
        print(f"stopped; saved at step {run.step}. Go on with: python {sys.argv[0]} --resume --run {run.path}")
        sys.exit(130)
    except (OSError, ModuleNotFoundError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)  # at once: on a full disk even closing the event file would fail
