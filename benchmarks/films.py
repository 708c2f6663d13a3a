"""Film each folder's agent before and after its training, side by side.

    python benchmarks/films.py [FOLDER ...] [--seed 100] [--runs DIR] [--jobs 2]

Writes FOLDER/film.gif, each under 1 MB, and with all folders the montage of some of them, films.gif, under 3 MB. It
plays the first episode by which the score is counted, with an agent that was just made and with the best one of the
training with that seed. With --runs a training in DIR/FOLDER/SEED is taken as it is.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import gymnasium as gym
import imageio
import numpy as np
import torch
from common import FOLDERS, ROOT, run_all
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(ROOT / "tests"))
from folders import load

if sys.platform == "linux":  # draws without a screen
    os.environ |= {"SDL_VIDEODRIVER": "dummy", "MUJOCO_GL": "egl"} | os.environ

HEIGHT, WIDTH = 180, 540  # of a picture in a film, at most, in pixels
FRAMES, SECOND = 90, 1000  # the most pictures in a film; milliseconds in a second
LONGEST = 8.0  # seconds
CAMERA = {  # nearer than the task's own, from where the goal is hard to see
    "DDPGwithHER": {"distance": 1.2, "azimuth": 140.0, "elevation": -20.0, "lookat": np.array([1.35, 0.75, 0.5])}
}
EPISODES = {"DDPGwithHER": 3}  # how many are shown, where one tells too little
MONTAGE = ("QLearning", "DeepQLearningNetwork(DQN)", "A2C", "PPO", "SAC", "DDPGwithHER")


def play(folder: str, rooms, agent, seed: int) -> tuple[list[np.ndarray], float]:
    """Pictures [height, width, 3] of an episode or more without exploration, and how many there are in a second."""
    env = gym.wrappers.RenderCollection(rooms.main.make_env("rgb_array"), reset_clean=False)
    if folder in CAMERA:
        env.unwrapped.mujoco_renderer.default_cam_config = CAMERA[folder]
    episodes = EPISODES.get(folder, getattr(rooms.main, "SHOWN_EPISODES", 1))
    for episode in range(episodes):
        rooms.main.evaluate(agent, 1, rooms.harness.FINAL_SEED + seed + episode, env)
    pictures, rate = env.render(), env.metadata["render_fps"]
    env.close()
    return pictures, rate


def sized(picture: np.ndarray, height: int) -> Image.Image:
    image = Image.fromarray(picture)
    scale = min(height / image.height, WIDTH / image.width)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def beside(before: list[np.ndarray], after: list[np.ndarray], height: int) -> list[Image.Image]:
    """Pictures of both, the shorter one at rest at its end; no more than FRAMES."""
    length = max(len(before), len(after))
    chosen = np.unique(np.linspace(0, length - 1, min(length, FRAMES)).round().astype(int))
    font, result = ImageFont.load_default(size=14), []
    for i in chosen:
        left, right = (sized(of[min(i, len(of) - 1)], height) for of in (before, after))
        image = Image.new("RGB", (left.width + 8 + right.width, left.height + 22), "white")
        image.paste(left, (0, 22))
        image.paste(right, (left.width + 8, 22))
        draw = ImageDraw.Draw(image)
        draw.text((4, 2), "before", fill="black", font=font)
        draw.text((left.width + 12, 2), "after training", fill="black", font=font)
        result.append(image)
    return result


def write(path: Path, images: list[Image.Image], milliseconds: float, most: int) -> None:
    """A GIF of at most so many bytes: with fewer pictures and colours, as many times as it takes."""
    colours = 128
    while True:
        few = [image.quantize(colours, dither=Image.Dither.NONE) for image in images]
        imageio.mimsave(path, [np.asarray(image.convert("RGB")) for image in few], duration=milliseconds, loop=0)
        if path.stat().st_size < most:
            return
        images, milliseconds, colours = images[::2] if colours < 64 else images, milliseconds, max(16, colours // 2)
        if colours < 64:
            milliseconds *= 2


def film(folder: str, path: Path, seed: int) -> list[Image.Image]:
    """Pictures of the agent before the training in `path` and after it; written to FOLDER/film.gif."""
    rooms = load(folder)
    kept, env = rooms.checkpoint.load(path), rooms.main.make_env()
    beginner, trained = (rooms.main.make_agent(env, seed) for _ in range(2))
    trained.load_state_dict(kept["agent"] | kept["best"])
    (before, rate), (after, _) = (play(folder, rooms, agent, seed) for agent in (beginner, trained))
    before = before[: max(len(after), int(rate * LONGEST))]  # one that walks in circles
    images = beside(before, after, HEIGHT)
    seconds = min(LONGEST, max(len(before), len(after)) / rate)
    write(ROOT / folder / "film.gif", images, SECOND * max(seconds, 2.0) / len(images), 10**6)
    return images


def montage(films: dict[str, list[Image.Image]]) -> None:
    """films.gif: MONTAGE in two columns, the trained ones only."""
    cells = {
        name: [image.crop((image.width // 2 + 4, 22, image.width, image.height)) for image in films[name]]
        for name in MONTAGE
    }
    width, height = 240, 180
    font, result = ImageFont.load_default(size=14), []
    for t in np.linspace(0, 1, 60):
        image = Image.new("RGB", (3 * (width + 8), 2 * (height + 26)), "white")
        draw = ImageDraw.Draw(image)
        for number, (name, of) in enumerate(cells.items()):
            x, y = number % 3 * (width + 8), number // 3 * (height + 26)
            cell = of[round(t * (len(of) - 1))].copy()
            cell.thumbnail((width, height))
            image.paste(cell, (x + (width - cell.width) // 2, y + 22))
            draw.text((x + 4, y + 2), name, fill="black", font=font)
        result.append(image)
    write(ROOT / "films.gif", result, 100, 3 * 10**6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER", help="default: all")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if unknown := [folder for folder in args.folders if folder not in FOLDERS]:
        parser.error(f"no such folder: {', '.join(unknown)}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        trained = run_all([(folder, args.seed) for folder in args.folders], args.jobs, runs=args.runs or Path(scratch))
        films = {folder: film(folder, path, args.seed) for folder, _, _, path in trained}
        for folder in films:
            print(f"{folder}: {(ROOT / folder / 'film.gif').stat().st_size / 1000:.0f} kB", flush=True)
    if {*MONTAGE} <= {*films}:
        montage(films)


if __name__ == "__main__":
    main()
