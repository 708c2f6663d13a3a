"""PPO on LunarLanderContinuous-v3: land a spacecraft between two flags with two throttles.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent fly (--record flight.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "LunarLanderContinuous-v3"
TOTAL_STEPS = 614_400  # environment steps
SOLVED_SCORE = 200.0  # return at which the landing counts as learned
SEED = 0

HIDDEN = 64  # units in each of the two hidden layers
LOG_STD = 0.0  # log of the policy's standard deviation at first; the half range of an action is the unit
LEARNING_RATE = 1e-3  # step size of Adam at first, α; it falls to 0
REWARD_SCALE = 0.01  # what rewards are multiplied by for learning; networks learn well from numbers near 1
GAMMA = 0.999  # discount γ; a landing takes a few hundred steps
GAE_LAMBDA = 0.98  # λ of the generalised advantage
CLIP = 0.2  # share by which a probability may change, ε
ENTROPY_COEF = 0.01  # weight of the entropy bonus, β
MAX_GRAD_NORM = 0.5  # largest norm of the gradient
N_ENVS = 16  # environments, side by side
N_STEPS = 256  # steps in each of them in one rollout, n
N_EPOCHS = 8  # times that a rollout is learned from
MINIBATCH_SIZE = 128  # steps in one update
EVAL_EVERY = TOTAL_STEPS // 10  # steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 50  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    return harness.fit(gym.make(ENV_ID, render_mode=render_mode), "numbers", "any")


def make_envs() -> gym.vector.VectorEnv:
    """All environments of the training. Where an episode ends, the next begins in the same step."""
    return gym.vector.SyncVectorEnv([make_env] * N_ENVS, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)


def make_agent(env: gym.Env, seed: int, total_steps: int = TOTAL_STEPS) -> Agent:
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    return Agent(
        env.observation_space.shape[0],
        int(env.action_space.n) if discrete else (env.action_space.low, env.action_space.high),
        hidden=HIDDEN,
        log_std=LOG_STD,
        learning_rate=LEARNING_RATE,
        learning_steps=total_steps * N_EPOCHS / MINIBATCH_SIZE,
        gamma=GAMMA,
        gae_lambda=GAE_LAMBDA,
        clip=CLIP,
        entropy_coef=ENTROPY_COEF,
        max_grad_norm=MAX_GRAD_NORM,
        n_epochs=N_EPOCHS,
        minibatch_size=MINIBATCH_SIZE,
        n_steps=N_STEPS,
        n_envs=N_ENVS,
        seed=seed,
    )


def train(run: harness.Run, seed: int, total_steps: int) -> Agent:
    envs = make_envs()
    agent = run.restore(make_agent(make_env(), seed, total_steps))
    obs, _ = envs.reset(seed=seed)
    for step in run.steps(total_steps, by=N_ENVS):
        action = agent.act(obs)
        # The task gets the clipped action. The memory keeps the sampled one, because its probability is known.
        first_obs, reward, terminated, truncated, info = envs.step(action.clip(*agent.box))
        next_obs, done = first_obs.copy(), terminated | truncated  # where done, first_obs is of the next episode
        if done.any():
            next_obs[done] = np.stack(info["final_obs"][done])
            episode = info["final_info"]["episode"]
            run.log(step, {"episode/return": episode["r"][done].mean(), "episode/length": episode["l"][done].mean()})
        agent.rollout.add(obs, action, REWARD_SCALE * reward, next_obs, terminated, done)
        obs = first_obs
        if len(agent.rollout) == N_STEPS:
            run.log(step, agent.learn())
        if step % EVAL_EVERY < N_ENVS:  # a multiple of EVAL_EVERY was passed
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
