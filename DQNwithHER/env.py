"""Bit flipping (Andrychowicz et al. 2017, section 3.1): turn one row of bits into another, a bit at a time."""

import gymnasium as gym
import numpy as np


class BitFlipping(gym.Env):
    """`n_bits` bits, -1 or 1, and a goal for each, all random; action i flips bit i. Rewards: -1, and 0 at the goal.

    The episode terminates at the goal, because every further action would leave it again. The task has no time limit of
    its own. Pictures show the bits above the goal; wrong bits are red.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, n_bits: int, render_mode: str | None = None):
        bits = gym.spaces.Box(-1.0, 1.0, (n_bits,), np.float32)
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = gym.spaces.Dict(dict.fromkeys(names, bits))
        self.action_space = gym.spaces.Discrete(n_bits)
        self.n_bits, self.render_mode, self.window = n_bits, render_mode, None

    @staticmethod
    def compute_reward(achieved_goal: np.ndarray, desired_goal: np.ndarray, info: dict) -> np.ndarray:
        """-1 where any of the bits [..., n_bits] is wrong, else 0."""
        return np.where((achieved_goal == desired_goal).all(axis=-1), 0.0, -1.0)

    @staticmethod
    def compute_terminated(achieved_goal: np.ndarray, desired_goal: np.ndarray, info: dict) -> np.ndarray:
        """Whether all of the bits [..., n_bits] are right."""
        return (achieved_goal == desired_goal).all(axis=-1)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.bits, self.goal = self.np_random.choice(np.float32([-1, 1]), size=(2, self.n_bits))
        self.show()
        return self.observation(), {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        self.bits[action] = -self.bits[action]
        self.show()
        reward = float(self.compute_reward(self.bits, self.goal, {}))
        terminated = bool(self.compute_terminated(self.bits, self.goal, {}))
        return self.observation(), reward, terminated, False, {"is_success": terminated}

    def observation(self) -> dict[str, np.ndarray]:
        return {"observation": self.bits.copy(), "achieved_goal": self.bits.copy(), "desired_goal": self.goal.copy()}

    def render(self) -> np.ndarray | None:
        return self.picture() if self.render_mode == "rgb_array" else None

    def picture(self) -> np.ndarray:
        """The bits above the goal, [height, width, 3] bytes."""
        rows = 140 + 100 * np.stack([self.bits, self.goal])[..., None].repeat(3, axis=-1)  # [2, n_bits, 3]
        rows[0, self.bits != self.goal, 0] += 15
        rows[0, self.bits != self.goal, 1:] /= 3
        cells = rows.astype(np.uint8).repeat(32, axis=0).repeat(32, axis=1)
        cells[::32] = cells[:, ::32] = 128  # lines between them
        return cells

    def show(self) -> None:
        """Draw into the window, if there is one."""
        if self.render_mode != "human":
            return
        import pygame

        if self.window is None:
            pygame.init()
            self.window, self.clock = pygame.display.set_mode((32 * self.n_bits, 64)), pygame.time.Clock()
        self.window.blit(pygame.surfarray.make_surface(self.picture().swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self.clock.tick(self.metadata["render_fps"])

    def close(self) -> None:
        if self.window is not None:
            import pygame

            pygame.quit()
            self.window = None
