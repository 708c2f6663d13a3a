"""The plumbing, nothing of learning, and the same file in every folder: read it once or never."""

from startup import FOLDER, on_signals, refuse  # first: it answers Ctrl-C, and names what is not installed

# isort: split

import argparse
import contextlib
import copy
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import checkpoint
import spaces

import gymnasium as gym
import imageio
import numpy as np
import torch
from tensorboardX import event_file_writer, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tqdm import tqdm

FINAL_EPISODES = 100  # the score is the mean over this many fresh episodes
CHOICE_SEED, FINAL_SEED = 1_000_000, 2_000_000  # added to the seed: training, choosing and scoring share no episode
SAVE_SECONDS = 30.0  # from one checkpoint to the next; 50 times what the last one took, if that is more
FAILED_SAVES = 3  # in a row that a run survives, when another program keeps the checkpoint from being replaced
fit = spaces.fit  # for main.py
signals: list[int] = []  # those that asked to stop


class Stopped(BaseException):
    """Ctrl-C, or its like, came."""


def check() -> None:
    """Raise Stopped if a signal asked to stop. To be called where nothing is half done."""
    if signals:
        raise Stopped


class Run:
    """One training run of the module `task`: its folder, its clock, its curves and its checkpoints (`kept`)."""

    def __init__(self, task, seed: int | None, steps: int | None, path: Path | None, resume: bool = False):
        settings, self.changed = checkpoint.settings_of(task), []
        if resume:
            self.lock = checkpoint.lock(path := checkpoint.find(path))
            self.kept = checkpoint.load(path)
            self.changed = checkpoint.changes(self.kept["settings"], settings, path)
            if seed not in (None, self.kept["seed"]):
                refuse(f"the run in {path} has seed {self.kept['seed']}: leave --seed out")
            as_before = self.kept["settings"].get("TOTAL_STEPS") == task.TOTAL_STEPS
            total = steps or (self.kept["total_steps"] if as_before else task.TOTAL_STEPS)
            if total < self.kept["step"]:
                refuse(f"the run in {path} has {self.kept['step']} steps already: it cannot have {total} in all")
        else:
            seed, total = task.SEED if seed is None else seed, steps or task.TOTAL_STEPS
            self.kept = {"algorithm": FOLDER.name, "env_id": task.ENV_ID, "seed": seed, "step": 0, "agent": {}}
            self.kept |= {"train_seconds": 0.0, "best_score": -math.inf, "best": {}, "evaluating": {}}
        self.kept |= {"total_steps": total, "settings": settings}
        self.task, self.path, self.agent, self.values, self.shown = task, path, None, {}, {}
        self.step = self.under_way = self.last_step = self.evaluated = self.kept["step"]  # those that are done
        self.failed = 0

    def restore(self, agent):
        """Tie `agent` to this run, to be saved with it; after --resume give it back all it had. Returns it."""
        check()
        if resumed := bool(self.kept["agent"]):
            for state in (self.kept["agent"] | self.kept["best"], self.kept["agent"]):  # both have to fit
                checkpoint.fill(agent, state, self.path, self.changed)
            for line in self.changed:
                print(line)
        else:
            self.path = checkpoint.new_folder(self.path, self.kept["seed"])
            self.lock = checkpoint.lock(self.path)
            if (self.path / "checkpoint.pt").exists():
                refuse(f"{self.path} holds a run already; --resume goes on with it")
        self.agent, self.last_time = agent, time.perf_counter()
        self.bar = tqdm(total=self.kept["total_steps"], initial=self.step, unit=" steps", disable=None)
        self.events = event_file_writer.EventsWriter(
            f"{self.path}/events", filename_suffix=f".{self.step}.{os.getpid()}"
        )
        if resumed:  # TensorBoard drops what was drawn after the checkpoint
            self.events.write_event(Event(step=self.step + 1, session_log=SessionLog(status=SessionLog.START)))
        rows = [f"| {name} | {value} |" for name, value in self.kept["settings"].items()]
        self.write("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))
        self.save()
        if self.kept["evaluating"]:  # it was stopped then
            self.evaluate(self.step, **self.kept["evaluating"])
        return agent

    def steps(self, total_steps: int, by: int = 1) -> Iterator[int]:
        """Count environment steps, `by` at a time, up to `total_steps`; between them draw, save, or stop at Ctrl-C."""
        with self.bar:
            while self.step < total_steps:
                check()
                self.under_way = self.step + by
                yield self.under_way
                self.step = self.under_way
                if self.step - self.last_step >= min(1000, total_steps // 500):
                    self.draw()
                    if time.perf_counter() - self.last_save > self.pause:
                        self.save()
            self.draw()
            self.save(last=True)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Note values for the curves. A point is the mean of all that was noted since the point before it."""
        for tag, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{tag} became {value}")
            self.values.setdefault(tag, []).append(value)

    def evaluate(self, step: int, keep_best: bool = False) -> None:
        """Draw the agent's score as it is now. With `keep_best` the best agent seen is the one that counts."""
        self.step, self.kept["evaluating"] = step, {"keep_best": keep_best}  # this step is done but for the evaluation
        agent, seed = self.snapshot(), CHOICE_SEED + self.kept["seed"]
        score = float(self.task.evaluate(agent, self.task.EVAL_EPISODES, seed).mean())
        self.write("eval/score", score)
        if keep_best and score >= self.kept["best_score"]:
            best = {name: part for name, part in agent.state_dict().items() if name not in checkpoint.MEMORY}
            self.kept |= {"best_score": score, "best": best}
        self.kept["evaluating"], self.evaluated = {}, step

    def snapshot(self):
        """The agent as it is now, to act outside the training, where it can be stopped; its memory is not copied."""
        memory = {id(part): part for name, part in vars(self.agent).items() if name in checkpoint.MEMORY}
        agent = copy.deepcopy(self.agent, memory)  # other processes may go on changing the original
        act = agent.act
        agent.act = lambda *args, **kwargs: (check(), act(*args, **kwargs))[1]
        return agent

    def write(self, tag: str, value: float | str | np.ndarray) -> None:
        """Put a number, a text, or a picture of bytes [height, width, 3] into the TensorBoard file at once."""
        if isinstance(value, str):
            value = summary.text(tag, value)
        else:
            value = summary.image(tag, value, dataformats="HWC") if np.ndim(value) else summary.scalar(tag, value)
        self.events.write_event(Event(step=self.step, wall_time=time.time(), summary=value))

    def draw(self) -> None:
        """Put a point on every curve and move the progress bar, if there was a step since."""
        if (count := self.step - self.last_step) == 0:
            return
        seconds = time.perf_counter() - self.last_time
        points = {tag: float(np.mean(values)) for tag, values in self.values.items()}
        for tag, value in (points | {"speed/steps_per_second": count / seconds}).items():
            self.write(tag, value)
        self.shown |= {t.split("/")[1]: points[t] for t in points if t.startswith(("episode/return", "policy/"))}
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(count)
        self.kept["train_seconds"] += seconds
        self.values, self.last_step, self.last_time = {}, self.step, time.perf_counter()

    def save(self, last: bool = False) -> None:
        """Write a checkpoint. One that cannot be replaced now may be at the next save, unless this is the `last`."""
        begin = time.perf_counter()
        self.events.flush()  # first: a curve may go beyond the checkpoint, and never the other way round
        self.kept |= {"step": self.step, "agent": self.agent.state_dict()}
        try:
            checkpoint.write(self.kept, self.path, patience=10.0 if last else 0.5)
            self.failed = 0
        except PermissionError:
            self.failed += 1
            if last or self.failed > FAILED_SAVES or not (self.path / "checkpoint.pt").exists():
                raise
        self.last_save = time.perf_counter()
        self.pause = max(SAVE_SECONDS, 50 * (self.last_save - begin))

    def finish(self) -> None:
        """Score the best agent on fresh episodes, write result.json and say whether the task is solved."""
        agent = self.snapshot()
        agent.load_state_dict(agent.state_dict() | self.kept["best"])
        scores = self.task.evaluate(agent, FINAL_EPISODES, FINAL_SEED + self.kept["seed"])
        self.agent, score, std, wanted = agent, float(scores.mean()), float(scores.std()), self.task.SOLVED_SCORE
        solved = bool(score >= wanted and getattr(self.task, "also_required", lambda agent: True)(agent))
        if self.evaluated < self.step:
            self.write("eval/score", score)
        self.events.close()
        result = {name: self.kept[name] for name in ("algorithm", "env_id", "seed", "train_seconds", "settings")}
        result |= {"env_steps": self.step, "eval_episodes": FINAL_EPISODES, "solved_score": wanted, "solved": solved}
        (self.path / "result.json").write_text(json.dumps(result | {"score": score, "score_std": std}, indent=2))
        verdict = f"{'solved' if solved else 'NOT solved'} (wanted: {wanted:g})"
        print(f"score {score:.2f} ± {std:.2f} over {FINAL_EPISODES} episodes: {verdict}; saved in {self.path}")


def show(task, path: Path | None, film: Path | None) -> None:
    """Play with a trained agent: five episodes in a window, or one into the GIF `film`, at half size."""
    if film and film.suffix != ".gif":
        refuse(f"{film} has to end in .gif")
    if (linux := sys.platform == "linux") and not film and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        refuse("no screen to open a window on; write a film instead: --record FILE.gif")
    kept = checkpoint.load(path := checkpoint.find(path))
    if kept["env_id"] != task.ENV_ID:
        refuse(f"the run in {path} is of {kept['env_id']}, main.py of {task.ENV_ID}; --run DIR names another run")
    if film:
        checkpoint.try_to_write(film)
    os.environ |= {"SDL_VIDEODRIVER": "dummy", "MUJOCO_GL": "egl"} | os.environ if film and linux else {}
    try:
        env = task.make_env("rgb_array" if film else "human")
        env = gym.wrappers.RenderCollection(env, reset_clean=False) if film else env
        checkpoint.fill(agent := task.make_agent(env, kept["seed"]), kept["agent"] | kept["best"], path, [])
        for episode in range(getattr(task, "SHOWN_EPISODES", 1 if film else 5)):
            print(f"score {task.evaluate(agent, 1, FINAL_SEED + kept['seed'] + episode, env)[0]:.2f}")
    except Exception as error:  # OpenGL, by which MuJoCo draws, has many ways to say that it is not there
        refuse(f"{task.ENV_ID} cannot be shown: {error!r}; if MuJoCo cannot draw, try MUJOCO_GL=egl or osmesa")
    if film:
        imageio.mimsave(film, [f[::2, ::2] for f in env.render()], duration=1000 / env.metadata["render_fps"], loop=0)


def whole(least: int, most: int):
    """A flag's number between these, both included."""

    def number(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,30}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {most}")
        return int(text)

    return number


def path_of(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return Path(text)


def main() -> None:
    """Serve the command line of the main.py that was started."""
    task, run = sys.modules["__main__"], None
    parser = argparse.ArgumentParser(description=task.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = refuse
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), help=f"seed of everything random (default: {task.SEED})")
    parser.add_argument("--steps", type=whole(1, 10**12), help=f"steps in all (default: {task.TOTAL_STEPS})")
    parser.add_argument("--run", type=path_of, metavar="DIR", help="its folder (default: a new one, or the newest)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    mode.add_argument("--watch", action="store_true", help="open a window and watch the trained agent")
    mode.add_argument("--record", type=path_of, metavar="FILE.gif", help="film the trained agent")
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a terminal may not know arrows
    torch.set_num_threads(1)  # networks this small gain nothing from more
    try:
        if args.watch or args.record:
            return show(task, args.run, args.record)
        on_signals(lambda number, _: signals.append(number))
        spaces.check(task)
        run = Run(task, args.seed, args.steps, args.run, args.resume)
        try:
            task.train(run, run.kept["seed"], run.kept["total_steps"])
            run.finish()
        except Stopped:
            stop(run)
    except FloatingPointError as error:
        refuse(f"{error} at step {run.under_way}; the last good checkpoint is in {run.path}")
    except (OSError, ModuleNotFoundError, gym.error.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        os._exit(2)  # at once: on a full disk even closing the event file would fail


def stop(run: Run) -> None:
    """Save if there is anything to save, say how to go on, and end with the signal's status."""
    said = "stopped before the training began"
    if run.agent:
        run.draw()
        run.save(last=True)
        go_on = f"python {sys.argv[0]} --resume --run {shlex.quote(str(run.path))}"
        said = f"stopped; saved at step {run.step}. Go on with: {go_on}"
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(said, flush=True)
    os._exit(128 + signals[0])
