"""The picture: one colour a skill, the trajectories fanning out. Nothing here is learned."""

from env import WALLS, PointWorld, play

import gymnasium as gym
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw(agent, env: gym.Env, n_skills: int, episodes: int = 3) -> Figure:
    """Some episodes of each skill, as lines through the first two numbers of their states."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot(title=f"{n_skills} skills, {episodes} episodes of each")
    if isinstance(env.unwrapped, PointWorld):
        axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        for left, bottom, right, top in WALLS:
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, color="0.2"))
    colours = colormaps["tab10"].colors if n_skills <= 10 else colormaps["hsv"](np.arange(n_skills) / n_skills)
    for skill in range(n_skills):
        for episode in range(episodes):
            x, y = play(agent, env, skill, seed=episode)[:, :2].T
            axes.plot(x, y, color=colours[skill], linewidth=1.5, alpha=0.8)
            axes.plot(x[-1], y[-1], ".", color=colours[skill])
    return figure


def picture(agent, env: gym.Env, n_skills: int) -> np.ndarray:
    """The same as bytes [height, width, 3]."""
    canvas = FigureCanvasAgg(draw(agent, env, n_skills))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
