"""PPO on HalfCheetah-v5: make a two-legged robot of MuJoCo's run. With another ENV_ID: Hopper-v5, Walker2d-v5.

A robot observes positions and velocities of very different sizes, and earns more and more as it learns; but networks
learn well from numbers near 1. So the agent brings both to one scale first. The paper does not say so, but its
authors' code does it (Engstrom et al. 2020, "Implementation matters in deep policy gradients").

Commands: as in main.py, with the same flags, such as
    python main_mujoco.py              train, evaluate; runs go into the same folder
    python main_mujoco.py --watch --run DIR
"""

import sys

import harness
import main

import gymnasium as gym
import numpy as np

ROBOTS = {  # Gymnasium's threshold, which Walker2d-v5 has not; γ; λ; log of the policy's deviation at first, else 0
    "HalfCheetah-v5": (4_800.0, 0.98, 0.92, -2.0),
    "Hopper-v5": (3_800.0, 0.99, 0.95, 0.0),
    "Walker2d-v5": (4_000.0, 0.99, 0.95, 0.0),
}

main.__doc__ = __doc__
main.ENV_ID = "HalfCheetah-v5"
main.TOTAL_STEPS = 1_000_000
main.SOLVED_SCORE, main.GAMMA, main.GAE_LAMBDA, main.LOG_STD = ROBOTS.get(main.ENV_ID, ROBOTS["Walker2d-v5"])
main.HIDDEN = 64
main.LEARNING_RATE = 3e-4
main.REWARD_SCALE = 1.0  # the agent finds its own, below
main.CLIP = 0.2
main.ENTROPY_COEF = 0.0
main.MAX_GRAD_NORM = 0.5
main.N_ENVS = 8
main.N_STEPS = 256
main.N_EPOCHS = 10
main.MINIBATCH_SIZE = 128
main.EVAL_EVERY = 50_000
main.EVAL_EPISODES = 10

FOLLOWING = {"type": 1, "trackbodyid": 1, "distance": 4.0}  # a camera of MuJoCo's that stays with body 1, the torso


class Agent(main.Agent):
    """The same as main's, but that it acts on and learns from numbers brought to one scale.

    Each number observed: minus its mean, divided by its standard deviation, at most 10 from 0. Rewards: divided by the
    standard deviation of the discounted return. These statistics are of all steps learned from so far. They change only
    after a rollout was learned from, so the policy learned from is the one that acted, and evaluations change nothing.
    They are part of the state: saved with the networks, and kept with the best agent as they were then.
    """

    def __init__(self, obs_dim: int, actions: int | tuple[np.ndarray, np.ndarray], **settings: float):
        super().__init__(obs_dim, actions, **settings)
        nothing = np.array([[1e-8], [0.0], [1e-8]])  # how many, Σ x, Σ x²: as if next to none, with mean 0, deviation 1
        self.sums = nothing.repeat(obs_dim + 1, axis=1)  # of each number observed and, last, of the discounted return
        self.returns = np.zeros(settings["n_envs"])  # that of the episode so far, Σ γᵏ r, in each environment

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each number observed and, last, of the return, [obs_dim + 1] each."""
        count, total, squares = self.sums
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-8))

    def normalize(self, obs: np.ndarray) -> np.ndarray:
        """Observations [..., obs_dim] as the networks get them."""
        mean, std = self.statistics()
        return ((obs - mean[:-1]) / std[:-1]).clip(-10, 10)

    def act(self, obs: np.ndarray, explore: bool = True) -> np.ndarray:
        return super().act(self.normalize(obs), explore)

    def learn(self) -> dict[str, float]:
        steps = self.rollout.steps  # still as the task gave them
        seen = np.zeros((*steps.reward.shape, self.sums.shape[1]))  # [steps, envs, obs_dim + 1]
        seen[..., :-1] = steps.obs
        for t in range(len(seen)):
            seen[t, :, -1] = self.returns = steps.reward[t] + self.gamma * self.returns
            self.returns = self.returns * (1 - steps.done[t])
        steps.obs[:], steps.next_obs[:] = self.normalize(steps.obs), self.normalize(steps.next_obs)
        steps.reward[:] /= self.statistics()[1][-1]
        drawn = super().learn()
        seen = seen.reshape(-1, seen.shape[-1])
        new = [np.full(seen.shape[1], len(seen)), seen.sum(axis=0), (seen**2).sum(axis=0)]
        self.sums = self.sums + np.array(new)
        return drawn

    def state_dict(self) -> dict:
        return super().state_dict() | {"sums": self.sums}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.sums[:] = state["sums"]


def make_env(render_mode: str | None = None) -> gym.Env:
    """The same as main's, but that the robot does not run out of the film, nor of the window."""
    cameras = {"camera_name": "track", "default_camera_config": FOLLOWING}  # of the film, of the window
    return harness.fit(gym.make(main.ENV_ID, render_mode=render_mode, **cameras), "numbers", "continuous")


main.Agent, main.make_env = Agent, make_env

if __name__ == "__main__":
    sys.modules["__main__"] = main  # what the harness serves: the same functions, with these settings
    harness.main()
