"""DDPG on Pendulum-v1: swing a pendulum up with a motor too weak to lift it, and keep it upright.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent swing (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "Pendulum-v1"
TOTAL_STEPS = 10_000  # environment steps
SOLVED_SCORE = -170.0  # return at which the swing-up counts as learned
SEED = 0

HIDDEN = 64  # units in each of the two hidden layers
ACTOR_LEARNING_RATE = 1e-3  # step size of Adam for the actor
CRITIC_LEARNING_RATE = 1e-3  # and for the critic
GAMMA = 0.98  # discount γ
BATCH_SIZE = 128  # transitions in one update
CAPACITY = 100_000  # transitions in the replay memory
TAU = 0.01  # step of the target networks towards the learned networks, τ
NOISE = "gaussian"  # exploration noise: "gaussian", or "ou" for the Ornstein-Uhlenbeck process of DDPG's paper
NOISE_SIGMA = 0.1  # its size σ, where the actions are between -1 and 1
LEARNING_STARTS = 1_000  # environment steps before the first update, with random actions
TRAIN_EVERY = 1  # environment steps from one update to the next
EVAL_EVERY = 1_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 50  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "continuous")


def make_agent(env: gym.Env, seed: int) -> Agent:
    return Agent(
        env.observation_space.shape[0],
        env.action_space.low,
        env.action_space.high,
        hidden=HIDDEN,
        actor_learning_rate=ACTOR_LEARNING_RATE,
        critic_learning_rate=CRITIC_LEARNING_RATE,
        gamma=GAMMA,
        batch_size=BATCH_SIZE,
        capacity=CAPACITY,
        tau=TAU,
        noise=NOISE,
        noise_sigma=NOISE_SIGMA,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    env = make_env()
    agent = run.restore(make_agent(env, seed))
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    for step in run.steps(total_steps):
        action = agent.act(obs) if step > LEARNING_STARTS else env.action_space.sample()
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.replay.add(obs, action, reward, next_obs, terminated)
        obs = next_obs
        if terminated or truncated:
            run.log(step, {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]})
            obs, _ = env.reset()
            agent.noise.reset()
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
