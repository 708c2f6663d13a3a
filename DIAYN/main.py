"""DIAYN on a point in a room: find ten ways to move that can be told apart, without any reward.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the skills, one after the other (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent
from env import Skills, play
from picture import picture

import gymnasium as gym
import numpy as np

ENV_ID = "PointWorld-v0"
TOTAL_STEPS = 15_000  # environment steps
SOLVED_SCORE = 0.9  # share of episodes whose skill is to be told from their states
SEED = 0
SHOWN_EPISODES = 10  # in the window or the film

N_SKILLS = 10  # number of skills, n
ALPHA = 0.1  # what a unit of entropy is worth, the temperature α
HIDDEN = 64  # units in each of the two hidden layers
ACTOR_LEARNING_RATE = 1e-3  # step size of Adam for the actor
CRITIC_LEARNING_RATE = 1e-3  # and for the critics and the discriminator
GAMMA = 0.98  # discount γ
BATCH_SIZE = 128  # transitions in one update
CAPACITY = 100_000  # transitions in the replay memory
TAU = 0.01  # step of the target networks towards the learned networks, τ
LEARNING_STARTS = 1_000  # environment steps before the first update, with random actions
TRAIN_EVERY = 1  # environment steps from one update to the next
EVAL_EVERY = 1_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 20  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return Skills(harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "continuous"), N_SKILLS)


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
        alpha=ALPHA,
        n_skills=N_SKILLS,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    env = make_env()
    agent = run.restore(make_agent(env, seed))
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    for step in run.steps(total_steps):
        action = agent.act(obs) if step > LEARNING_STARTS else env.action_space.sample()
        next_obs, _, terminated, truncated, info = env.step(action)  # a reward, if there is one, is ignored
        agent.replay.add(obs, action, 0.0, next_obs, terminated)
        obs = next_obs
        if terminated or truncated:
            run.log(step, {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]})
            obs, _ = env.reset()
        if step >= LEARNING_STARTS and step % TRAIN_EVERY == 0:
            run.log(step, agent.learn())
        if step % EVAL_EVERY == 0:
            run.evaluate(step, keep_best=True)
            run.write("skills", picture(run.snapshot(), make_env(), N_SKILLS))
    return agent


def evaluate(agent: Agent, episodes: int, seed: int, env: gym.Env | None = None) -> np.ndarray:
    """1 for each episode whose skill the discriminator names, else 0, [episodes], in an environment of its own."""
    env = env or make_env()
    scores = np.zeros(episodes)
    for episode in range(episodes):
        skill = (seed + episode) % N_SKILLS  # one after the other
        scores[episode] = skill == agent.skill_seen(play(agent, env, skill, seed if episode == 0 else None))
    return scores


if __name__ == "__main__":
    harness.main()
