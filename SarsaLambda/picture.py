"""The picture: what the table says of the task, as a heat map and as arrows. Nothing here is learned."""

import itertools

import gymnasium as gym
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def grid(env: gym.Env) -> np.ndarray | None:
    """A letter for each state [rows, columns], row by row: S start, G goal, # cliff or hole; None if it is no grid."""
    task = env.unwrapped
    if hasattr(task, "_cliff"):  # CliffWalking
        letters = np.where(task._cliff, "#", "·")
        letters[-1, [0, -1]] = "S", "G"
        return letters
    letters = np.array(getattr(task, "desc", [[]])).astype(str)
    if letters.size != env.observation_space.n:  # Taxi's map shows less than its states
        return None
    return np.where(letters == "H", "#", np.where(letters == "F", "·", letters))  # FrozenLake


def greedy_path(agent, env: gym.Env) -> list[int]:
    """States of one episode without exploration."""
    obs, _ = env.reset(seed=0)
    path, done = [int(obs)], False
    while not done:
        obs, _, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
        path.append(int(obs))
        done = terminated or truncated
    return path


def beside_cliff(agent, env: gym.Env) -> int:
    """How many states of the greedy path are right above the cliff; 0 where there is none."""
    letters = grid(env)
    if letters is None:
        return 0
    below = np.append(letters.flat[letters.shape[1] :], [""] * letters.shape[1])
    return sum(below[state] == "#" and letters.flat[state] != "#" for state in greedy_path(agent, env))


def arrows(agent, env: gym.Env) -> str:
    """The greedy path as text: an arrow on each cell of it; or the numbers of its states, where there is no grid."""
    path, letters = greedy_path(agent, env), grid(env)
    if letters is None:
        return "greedy path: " + " ".join(map(str, path))
    moves = {1: "→", -1: "←", letters.shape[1]: "↓", -letters.shape[1]: "↑"}
    for state, following in itertools.pairwise(path):
        letters.flat[state] = moves.get(following - state, letters.flat[state])
    return "\n".join(" ".join(row) for row in letters)


def heat_map(agent, env: gym.Env) -> np.ndarray:
    """max Q of each state as colour with the greedy path drawn over it, or as height: bytes [height, width, 3]."""
    path, letters, best = greedy_path(agent, env), grid(env), agent.q.values.max(axis=1)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot(title="max Q(s, a) and the greedy path")
    if letters is None:
        axes.set(xlabel="state", ylabel="expected return")
        axes.plot(best, ".", color="tab:blue")
        axes.plot(path, best[path], color="tab:red", marker="o", markersize=4)
    else:
        axes.set(xticks=[], yticks=[])
        best[np.isin(letters.ravel(), ("#", "G"))] = np.nan  # no action is taken there, so nothing is learned
        figure.colorbar(axes.imshow(best.reshape(letters.shape)), label="expected return", shrink=0.7)
        for (row, column), letter in np.ndenumerate(letters):
            if letter in "#G":
                axes.text(column, row, "goal" if letter == "G" else letter, ha="center", va="center", fontsize=8)
        rows, columns = np.divmod(path, letters.shape[1])
        axes.plot(columns, rows, color="tab:red", marker="o", markersize=4)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
