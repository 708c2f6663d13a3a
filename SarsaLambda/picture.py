"""The picture: what the table says of the cliff, as a heat map and as arrows. Nothing here is learned."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROWS, COLUMNS = 4, 12  # states are numbered row by row from the top left
START, GOAL = 36, 47
CLIFF = range(37, 47)
MOVES, ARROWS = (-COLUMNS, 1, COLUMNS, -1), "↑→↓←"  # the environment's actions 0 to 3


def greedy_path(q: np.ndarray) -> list[int]:
    """States from the start along the greedy actions of q [n_states, n_actions], to the goal, the cliff or a loop."""
    path = [START]
    while path[-1] != GOAL and path[-1] not in CLIFF:
        row, column = divmod(path[-1], COLUMNS)
        action = int(q[path[-1]].argmax())
        at_wall = (row == 0, column == COLUMNS - 1, row == ROWS - 1, column == 0)[action]
        state = path[-1] if at_wall else path[-1] + MOVES[action]
        if state in path:
            break
        path.append(state)
    return path


def beside_cliff(path: list[int]) -> int:
    """How many steps of the path run right above the cliff."""
    return sum(state + COLUMNS in CLIFF for state in path)


def arrows(q: np.ndarray) -> str:
    """The greedy path as text: an arrow on each cell of it, S and G at its ends, the cliff as #."""
    cells = ["#" if state in CLIFF else "·" for state in range(ROWS * COLUMNS)]
    for state in greedy_path(q):
        cells[state] = ARROWS[q[state].argmax()]
    cells[GOAL] = "G"
    return "\n".join(" ".join(cells[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS))


def heat_map(q: np.ndarray) -> np.ndarray:
    """max Q of each state as colour, with the greedy path drawn over it: bytes [height, width, 3]."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot(title="max Q(s, a) and the greedy path", xticks=[], yticks=[])
    best = q.max(axis=1)
    best[[*CLIFF, GOAL]] = np.nan  # never left, so never learned
    image = axes.imshow(best.reshape(ROWS, COLUMNS))
    figure.colorbar(image, label="expected return", shrink=0.7)
    for state, text in (*((state, "cliff") for state in CLIFF), (GOAL, "goal")):
        axes.text(state % COLUMNS, state // COLUMNS + 0.3, text, ha="center", va="center", fontsize=8)
    rows, columns = np.divmod(greedy_path(q), COLUMNS)
    axes.plot(columns, rows, color="tab:red", marker="o", markersize=4)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
