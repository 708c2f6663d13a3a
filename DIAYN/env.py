"""A point in a room with walls, where nothing is rewarded, and skills, of which every episode has one."""

import gymnasium as gym
import matplotlib
import numpy as np

WALLS = np.array([[-0.6, -0.3, -0.5, 0.3], [0.5, -0.3, 0.6, 0.3]])  # left, bottom, right, top of each, in the room
STEP = 0.1  # how far an action moves the point at most, along x and along y
SIZE = 400  # pixels of the picture, along each side
COLOURS = (255 * matplotlib.colormaps["tab10"](np.arange(10))[:, :3]).astype(np.uint8)


class PointWorld(gym.Env):
    """A room from -1 to 1. Observation: where the point is [2]. Action: its displacement [2], in units of STEP.

    Walls stop the point along x, along y, or both. Episodes begin near the middle and have no end of their own. The
    picture shows where the point has been, this episode and those before, in the colour of `skill`.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None):
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode, self.window, self.skill = render_mode, None, 0
        self.canvas = np.full((SIZE, SIZE, 3), 255, np.uint8)  # [from the top, from the left, colour]
        for left, bottom, right, top in WALLS:
            self.canvas[pixel(-top) : pixel(-bottom), pixel(left) : pixel(right)] = 48

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-0.05, 0.05, 2)
        return self.position.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        before = self.position.copy()
        for axis in (0, 1):
            moved = self.position.copy()
            moved[axis] = np.clip(moved[axis] + STEP * np.clip(action[axis], -1, 1), -1, 1)
            if not inside(moved):
                self.position = moved
        if self.render_mode:
            self.draw(before)
        return self.position.astype(np.float32), 0.0, False, False, {}

    def draw(self, before: np.ndarray) -> None:
        """Draw a line from the last position to the present one; show it in the window, if there is one."""
        for share in np.linspace(0, 1, 20):
            x, y = before + share * (self.position - before)
            row, column = pixel(-y), pixel(x)
            self.canvas[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = COLOURS[self.skill % 10]
        if self.render_mode == "human":
            import pygame

            if self.window is None:
                pygame.init()
                self.window, self.clock = pygame.display.set_mode((SIZE, SIZE)), pygame.time.Clock()
            self.window.blit(pygame.surfarray.make_surface(self.canvas.swapaxes(0, 1)), (0, 0))
            pygame.event.pump()
            pygame.display.flip()
            self.clock.tick(self.metadata["render_fps"])

    def render(self) -> np.ndarray | None:
        return self.canvas.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        if self.window is not None:
            import pygame

            pygame.quit()
            self.window = None


def inside(position: np.ndarray) -> bool:
    """Whether `position` [2] is inside a wall."""
    return bool(((WALLS[:, :2] < position) & (position < WALLS[:, 2:])).all(axis=1).any())


def pixel(x: float) -> int:
    """The row or column of a coordinate between -1 and 1."""
    return round((x + 1) / 2 * (SIZE - 1))


class Skills(gym.Wrapper):
    """Gives each episode a random skill, or reset's option `skill`, and appends it to the observations."""

    def __init__(self, env: gym.Env, n_skills: int):
        super().__init__(env)
        self.one_hots = np.eye(n_skills, dtype=np.float32)
        box = env.observation_space
        low, high = np.append(box.low, np.zeros(n_skills)), np.append(box.high, np.ones(n_skills))
        self.observation_space = gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        obs, info = self.env.reset(seed=seed)
        skill = options["skill"] if options else self.np_random.integers(len(self.one_hots))
        self.unwrapped.skill, self.one_hot = skill, self.one_hots[skill]
        return self.with_skill(obs), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, *rest = self.env.step(action)
        return self.with_skill(obs), *rest

    def with_skill(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([obs, self.one_hot], dtype=np.float32)


def play(agent, env: gym.Env, skill: int, seed: int | None = None) -> np.ndarray:
    """Observations [steps, obs_dim] of an episode with the skill, without exploration."""
    obs, _ = env.reset(seed=seed, options={"skill": skill})
    trajectory, done = [obs], False
    while not done:
        obs, _, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
        trajectory.append(obs)
        done = terminated or truncated
    return np.stack(trajectory)


gym.register("PointWorld-v0", PointWorld, max_episode_steps=40)
