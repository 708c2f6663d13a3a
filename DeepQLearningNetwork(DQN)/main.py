"""DQN on LunarLander-v3: land a spacecraft between two flags with three engines or none.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent fly (--record flight.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "LunarLander-v3"
TOTAL_STEPS = 300_000  # environment steps
SOLVED_SCORE = 200.0  # return at which the landing counts as learned
SEED = 0

HIDDEN = 128  # units in each of the two hidden layers
LEARNING_RATE = 2e-3  # step size of Adam at first; it falls to 0
GAMMA = 0.99  # discount γ
BATCH_SIZE = 256  # transitions in one update
CAPACITY = 100_000  # transitions in the replay memory; those of the first, poor policies are forgotten
TAU = 0.02  # step of the target network towards the online network, τ
HUBER_DELTA = 20.0  # the error beyond which the loss is linear, δ; rewards here reach ±100
LEARNING_STARTS = 1_000  # environment steps before the first update
TRAIN_EVERY = 8  # environment steps from one update to the next
EPSILON_START = 1.0  # chance of a random action at first, ε
EPSILON_END = 0.05  # and in the end
EPSILON_SHARE = 0.2  # share of the training over which it falls
DOUBLE_Q = True  # Double DQN; False: the target network chooses the action too, as in 2015
EVAL_EVERY = 50_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 50  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "discrete")


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    return Agent(
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
            obs, _ = env.reset()
        if step >= LEARNING_STARTS and step % TRAIN_EVERY == 0:
            run.log(step, agent.learn())
        if step % EVAL_EVERY == 0:
            run.evaluate(step, keep_best=True)
    return agent


def evaluate(agent: Agent, episodes: int, seed: int, env: gym.Env | None = None) -> np.ndarray:
    """Return of each episode without exploration, [episodes], in an environment of its own."""
    env = env or make_env()
    scores = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        done = False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
            scores[episode] += reward
            done = terminated or truncated
    return scores


if __name__ == "__main__":
    harness.main()
