"""Sarsa on CliffWalking-v1: walk from the start to the goal past a cliff; -1 a step, -100 and back for a fall.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent walk (--record walk.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
import picture
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "CliffWalking-v1"
TOTAL_STEPS = 40_000  # environment steps
SOLVED_SCORE = -17.0  # return of the path along the far wall; also_required() below asks for a safe one
SEED = 0

MAX_EPISODE_STEPS = 500  # the task has no time limit of its own: a policy that walks in circles would never end
ALPHA = 0.5  # step size α at the start; it falls to 0
GAMMA = 1.0  # discount γ: an episodic task, undiscounted as in the book
EPSILON = 0.1  # chance ε of a random action
EVAL_EVERY = 1_000  # environment steps between two points of eval/score
EVAL_EPISODES = 1  # the greedy walk is always the same


def make_env(render_mode: str | None = None) -> gym.Env:
    env = gym.make(ENV_ID, render_mode=render_mode, max_episode_steps=MAX_EPISODE_STEPS)
    return harness.fit(env, "states", "discrete")


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    return Agent(
        int(env.observation_space.n),
        int(env.action_space.n),
        alpha=ALPHA,
        alpha_steps=total_steps,
        gamma=GAMMA,
        epsilon=EPSILON,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    env = make_env()
    agent = run.restore(make_agent(env, seed, total_steps))
    obs, _ = env.reset(seed=seed)
    action = agent.act(obs)
    for step in run.steps(total_steps):
        next_obs, reward, terminated, truncated, info = env.step(action)
        next_action = agent.act(next_obs)
        run.log(step, agent.learn(obs, action, reward, next_obs, next_action, terminated))
        obs, action = next_obs, next_action
        if terminated or truncated:
            run.log(step, {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]})
            obs, _ = env.reset()
            action = agent.act(obs)
        if step % EVAL_EVERY == 0:
            run.evaluate(step)
    run.write("policy/greedy_path", picture.heat_map(agent, make_env()))
    print(picture.arrows(agent, make_env()))
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


def also_required(agent: Agent) -> bool:
    """Whether Sarsa has learned the safe path: no state of the greedy walk is next to the cliff."""
    return ENV_ID != "CliffWalking-v1" or picture.beside_cliff(agent, make_env()) == 0


if __name__ == "__main__":
    harness.main()
