"""DIAYN on HalfCheetah-v5: ten ways for a two-legged robot of MuJoCo's to move, without any reward.

The settings are those of the paper's code, but for three: 10 skills in place of 50, for a run 20 times as short; two
hidden layers of 256 units in place of 300; and 10,000 steps before the first update in place of 1,000. The policy is
one Gaussian, where that of the paper's code is a mixture of four.

Commands: as in main.py, with the same flags, such as
    python main_mujoco.py              train, evaluate; runs go into the same folder
    python main_mujoco.py --watch --run DIR
"""

import sys

import harness
import main
from env import Skills

import gymnasium as gym
import numpy as np

main.__doc__ = __doc__
main.ENV_ID = "HalfCheetah-v5"
main.TOTAL_STEPS = 500_000
main.SOLVED_SCORE = 0.9
main.SHOWN_EPISODES = main.N_SKILLS = 10
main.ALPHA = 0.1
main.HIDDEN = 256
main.ACTOR_LEARNING_RATE = main.CRITIC_LEARNING_RATE = 3e-4
main.GAMMA = 0.99
main.BATCH_SIZE = 128
main.CAPACITY = 1_000_000
main.TAU = 0.01
main.LEARNING_STARTS = 10_000
main.TRAIN_EVERY = 1
main.EVAL_EVERY = 25_000
main.EVAL_EPISODES = 10

SHOWN_STEPS = 100  # of each skill, in a window or a film: five seconds; an episode has 1,000
FOLLOWING = {"type": 1, "trackbodyid": 1, "distance": 4.0}  # a camera of MuJoCo's that stays with body 1, the torso

skills_told = main.evaluate


def make_env(render_mode: str | None = None) -> gym.Env:
    """The same as main's, but that what is shown is short, and the robot does not run out of the picture."""
    cameras = {"camera_name": "track", "default_camera_config": FOLLOWING}  # of the film, of the window
    steps = SHOWN_STEPS if render_mode else None
    env = gym.make(main.ENV_ID, max_episode_steps=steps, render_mode=render_mode, **cameras)
    return Skills(harness.fit(env, "numbers", "continuous"), main.N_SKILLS)


def evaluate(agent: main.Agent, episodes: int, seed: int, env: gym.Env | None = None) -> np.ndarray:
    """The same as main's. Then it says what no training ever saw: each skill's mean return in the task itself."""
    scores = skills_told(agent, episodes, seed, env := env or main.make_env())
    if episodes != main.EVAL_EPISODES:  # which would disturb the progress bar
        returns = [[] for _ in range(main.N_SKILLS)]
        for episode, value in enumerate(list(env.get_wrapper_attr("return_queue"))[-episodes:]):
            returns[(seed + episode) % main.N_SKILLS].append(value)
        print("returns:", *(f"skill {i} {np.mean(of):.0f}" for i, of in enumerate(returns) if of), sep="  ")
    return scores


main.make_env, main.evaluate = make_env, evaluate

if __name__ == "__main__":
    sys.modules["__main__"] = main  # what the harness serves: the same functions, with these settings
    harness.main()
