"""REINFORCE on CartPole-v1: push a cart left or right so that the pole on it stays upright.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent balance (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "CartPole-v1"
TOTAL_STEPS = 200_000  # environment steps
SOLVED_SCORE = 475.0  # return at which the balance counts as learned
SEED = 0

HIDDEN = 64  # units in each of the two hidden layers
LEARNING_RATE = 5e-3  # step size of Adam at first, α; it falls to 0
GAMMA = 0.99  # discount γ
UPDATE_STEPS = 1_000  # environment steps in one update, at least: the last episode is played to its end
EVAL_EVERY = 10_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 10  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "discrete")


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    return Agent(
        env.observation_space.shape[0],
        int(env.action_space.n),
        hidden=HIDDEN,
        learning_rate=LEARNING_RATE,
        learning_steps=total_steps / UPDATE_STEPS,
        gamma=GAMMA,
        capacity=UPDATE_STEPS + env.spec.max_episode_steps,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    env = make_env()
    agent = run.restore(make_agent(env, seed, total_steps))
    obs, _ = env.reset(seed=seed)
    for step in run.steps(total_steps):
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.rollout.add(obs, action, reward, terminated or truncated)
        obs = next_obs
        if terminated or truncated:
            run.log(step, {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]})
            obs, _ = env.reset()
            if len(agent.rollout) >= UPDATE_STEPS:
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
