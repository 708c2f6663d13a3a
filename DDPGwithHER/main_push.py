"""DDPG with hindsight experience replay on FetchPush-v4: push a block to a goal on a table.

The achieved goal changes only when the hand moves the block, which seldom happens by chance. So there are many random
actions at first. The other settings are near those of Plappert et al. (2018). They had 19 processes that gathered data
side by side and averaged their gradients; here one process learns less often, from a larger batch.

Commands: as in main.py, with the same flags, such as
    python main_push.py              train, evaluate; runs go into the same folder
    python main_push.py --watch --run DIR
"""

import sys

import harness
import main

main.__doc__ = __doc__
main.ENV_ID = "FetchPush-v4"
main.TOTAL_STEPS = 500_000
main.SOLVED_SCORE = 0.9
main.HER, main.HER_K = True, 4
main.HIDDEN = 256
main.ACTOR_LEARNING_RATE = main.CRITIC_LEARNING_RATE = 1e-3
main.GAMMA = 0.98
main.BATCH_SIZE = 1024
main.CAPACITY = 500_000
main.TAU = 0.005
main.NOISE_SIGMA, main.RANDOM_ACTIONS = 0.2, 0.3
main.ACTION_L2 = 1.0
main.LEARNING_STARTS = 50_000
main.TRAIN_EVERY = 10
main.EVAL_EVERY = 10_000
main.EVAL_EPISODES = 20

if __name__ == "__main__":
    sys.modules["__main__"] = main  # what the harness serves: the same functions, with these settings
    harness.main()
