"""DQN with hindsight experience replay on bit flipping: turn 30 bits into 30 others; nothing but the goal is rewarded.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent flip (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent
from env import BitFlipping

import gymnasium as gym
import numpy as np

ENV_ID = "BitFlipping-v0"
TOTAL_STEPS = 30_000  # environment steps
SOLVED_SCORE = 0.98  # share of goals reached at which the task counts as learned
SEED = 0

ENV_SETTINGS = {"n_bits": 30, "max_episode_steps": 30}  # of this task; {} for another
HER = True  # hindsight; False is DQN
HER_K = 4  # samples with a goal relabelled for each one that keeps its own, k
HIDDEN = 256  # units in each of the two hidden layers
LEARNING_RATE = 2e-3  # step size of Adam at first; it falls to 0
GAMMA = 0.98  # discount γ
BATCH_SIZE = 128  # transitions in one update
CAPACITY = 100_000  # transitions in the replay memory
TAU = 0.05  # step of the target network towards the online network, τ
HUBER_DELTA = 1.0  # the error beyond which the loss is linear, δ
LEARNING_STARTS = 1_000  # environment steps before the first update
TRAIN_EVERY = 1  # environment steps from one update to the next
EPSILON_START = 1.0  # chance of a random action at first, ε
EPSILON_END = 0.02  # and in the end
EPSILON_SHARE = 2 / 3  # share of the training over which it falls
DOUBLE_Q = True  # Double DQN; False: the target network chooses the action too, as in 2015
EVAL_EVERY = 2_500  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 50  # episodes in each

gym.register("BitFlipping-v0", BitFlipping)


def make_env(render_mode: str | None = None) -> gym.Env:
    """The task. An observation is one row: the goal achieved, the goal desired, and the rest."""
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode, **ENV_SETTINGS), "goals", "discrete")


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    agent = Agent(
        env.observation_space.shape[0],
        int(env.action_space.n),
        hidden=HIDDEN,
        learning_rate=LEARNING_RATE,
        learning_steps=total_steps / TRAIN_EVERY,
        gamma=GAMMA,
        batch_size=BATCH_SIZE,
        capacity=CAPACITY,
        tau=TAU,
        huber_delta=HUBER_DELTA,
        epsilon_start=EPSILON_START,
        epsilon_end=EPSILON_END,
        epsilon_steps=EPSILON_SHARE * total_steps,
        double_q=DOUBLE_Q,
        seed=seed,
    )
    if HER:
        task, goal_dim = env.unwrapped, env.unwrapped.observation_space["desired_goal"].shape[0]
        agent.replay.use_hindsight(
            HER_K, goal_dim, lambda *goals: (task.compute_reward(*goals, {}), task.compute_terminated(*goals, {}))
        )
    return agent


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    env = make_env()
    agent = run.restore(make_agent(env, seed, total_steps))
    obs, _ = env.reset(seed=seed)
    for step in run.steps(total_steps):
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.replay.add(obs, action, reward, next_obs, terminated)
        obs = next_obs
        if terminated or truncated:
            run.log(step, {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]})
            run.log(step, {"episode/success": reward == 0})  # at the goal in the end
            agent.replay.end_episode()
            obs, _ = env.reset()
        if step >= LEARNING_STARTS and step % TRAIN_EVERY == 0:
            run.log(step, agent.learn())
        if step % EVAL_EVERY == 0:
            run.evaluate(step, keep_best=True)
    return agent


def evaluate(agent: Agent, episodes: int, seed: int, env: gym.Env | None = None) -> np.ndarray:
    """1 for each episode that ends at its goal, else 0, [episodes]; no exploration, an environment of its own."""
    env = env or make_env()
    scores = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        done = False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
            done = terminated or truncated
        scores[episode] = reward == 0
    return scores


if __name__ == "__main__":
    harness.main()
