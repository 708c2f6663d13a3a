"""A3C on CartPole-v1: push a cart left or right so that the pole on it stays upright.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent balance (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import contextlib
import multiprocessing
from collections.abc import Callable

import harness  # first: it says which packages are missing
import workers
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "CartPole-v1"
TOTAL_STEPS = 200_000  # environment steps
SOLVED_SCORE = 475.0  # return at which the balance counts as learned
SEED = 0

HIDDEN = 64  # units in each of the two hidden layers
LEARNING_RATE = 1e-3  # step size of Adam at first, α; it falls to 0
GAMMA = 0.99  # discount γ
GAE_LAMBDA = 1.0  # λ of the generalised advantage; 1 gives n-step returns
ENTROPY_COEF = 0.01  # weight of the entropy bonus, β
MAX_GRAD_NORM = 0.5  # largest norm of the gradient
N_WORKERS = min(16, multiprocessing.cpu_count())  # processes, one for each core; the paper has 16
N_STEPS = 20  # steps of a worker in one update, n
EVAL_EVERY = 20_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 10  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "discrete")


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    return Agent(
        env.observation_space.shape[0],
        int(env.action_space.n),
        hidden=HIDDEN,
        learning_rate=LEARNING_RATE,
        learning_steps=total_steps,
        gamma=GAMMA,
        gae_lambda=GAE_LAMBDA,
        entropy_coef=ENTROPY_COEF,
        max_grad_norm=MAX_GRAD_NORM,
        n_steps=N_STEPS,
        n_workers=N_WORKERS,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    agent = run.restore(make_agent(make_env(), seed, total_steps)).share()
    with contextlib.closing(workers.reports(work, N_WORKERS, agent, seed)) as reports:
        for step in run.steps(total_steps, by=N_STEPS):
            run.log(step, next(reports))  # of one update by one of the workers
            if step % EVAL_EVERY < N_STEPS:  # a multiple of EVAL_EVERY was passed
                run.evaluate(step, keep_best=True)
    return agent


def work(rank: int, report: Callable[[dict[str, float]], None], shared: Agent, seed: int) -> None:
    """One worker, until it is stopped: it acts with a copy of the shared agent and updates the shared one."""
    env = make_env()
    agent = shared.worker(rank, seed)
    obs, _ = env.reset(seed=seed + 1000 * (rank + 1))
    while True:
        drawn = {}
        for _ in range(N_STEPS):
            action = agent.act(obs)
            next_obs, reward, terminated, truncated, info = env.step(action)
            agent.rollout.add(obs, action, reward, next_obs, terminated, terminated or truncated)
            obs = next_obs
            if terminated or truncated:
                drawn = {"episode/return": info["episode"]["r"], "episode/length": info["episode"]["l"]}
                obs, _ = env.reset()
        report(drawn | agent.learn(shared))


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
