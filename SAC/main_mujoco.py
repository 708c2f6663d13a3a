"""SAC on HalfCheetah-v5: make a two-legged robot of MuJoCo's run.

The settings are those of Haarnoja et al. (2018b, table 1).

Commands: as in main.py, with the same flags, such as
    python main_mujoco.py              train, evaluate; runs go into the same folder
    python main_mujoco.py --watch --run DIR
"""

import sys

import harness
import main

import gymnasium as gym

main.__doc__ = __doc__
main.ENV_ID = "HalfCheetah-v5"
main.TOTAL_STEPS = 1_000_000
main.SOLVED_SCORE = 4_800.0  # Gymnasium's threshold for this task
main.HIDDEN = 256
main.ACTOR_LEARNING_RATE = main.CRITIC_LEARNING_RATE = 3e-4
main.GAMMA = 0.99
main.BATCH_SIZE = 256
main.CAPACITY = 1_000_000
main.TAU = 0.005
main.LEARNING_STARTS = 10_000
main.TRAIN_EVERY = 1
main.EVAL_EVERY = 5_000
main.EVAL_EPISODES = 10

FOLLOWING = {"type": 1, "trackbodyid": 1, "distance": 4.0}  # a camera of MuJoCo's that stays with body 1, the torso


def make_env(render_mode: str | None = None) -> gym.Env:
    """The same as main's, but that the robot does not run out of the film, nor of the window."""
    cameras = {"camera_name": "track", "default_camera_config": FOLLOWING}  # of the film, of the window
    return harness.fit(gym.make(main.ENV_ID, render_mode=render_mode, **cameras), "numbers", "continuous")


main.make_env = make_env

if __name__ == "__main__":
    sys.modules["__main__"] = main  # what the harness serves: the same functions, with these settings
    harness.main()
