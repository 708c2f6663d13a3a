"""DDPG with hindsight experience replay on FetchReach-v4: bring a robot's hand to a goal; nothing else is rewarded.

Commands:
    python main.py                     train, evaluate, say whether it is solved
    python main.py --watch             see the trained agent reach (--record film.gif: into a file)
    python main.py --resume            go on with a run that was stopped; --help shows the rest
"""

import harness  # first: it says which packages are missing
from agent import Agent

import gymnasium as gym
import numpy as np

ENV_ID = "FetchReach-v4"
TOTAL_STEPS = 10_000  # environment steps
SOLVED_SCORE = 0.98  # share of episodes that end with the hand at the goal, at which the task counts as learned
SEED = 0

HER = True  # hindsight; False is DDPG
HER_K = 4  # samples with a goal relabelled for each one that keeps its own, k
HIDDEN = 64  # units in each of the two hidden layers
ACTOR_LEARNING_RATE = 1e-3  # step size of Adam for the actor
CRITIC_LEARNING_RATE = 1e-3  # and for the critic
GAMMA = 0.98  # discount γ
BATCH_SIZE = 128  # transitions in one update
CAPACITY = 100_000  # transitions in the replay memory
TAU = 0.01  # step of the target networks towards the learned networks, τ
NOISE_SIGMA = 0.2  # size σ of the Gaussian noise on actions, which are between -1 and 1
RANDOM_ACTIONS = 0.3  # chance of a uniformly random action
ACTION_L2 = 1.0  # weight of the mean squared action in the actor's loss
LEARNING_STARTS = 1_000  # environment steps before the first update, with random actions
TRAIN_EVERY = 1  # environment steps from one update to the next
EVAL_EVERY = 1_000  # environment steps from one evaluation to the next; the best agent evaluated is the one kept
EVAL_EPISODES = 20  # episodes in each


def make_env(render_mode: str | None = None) -> gym.Env:
    """The task. An observation is one row: the goal achieved, the goal desired, and the rest."""
    return harness.fit(gym.make(f"gymnasium_robotics:{ENV_ID}", render_mode=render_mode), "goals", "continuous")


def make_agent(env: gym.Env, seed: int) -> Agent:
    agent = Agent(
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
        noise_sigma=NOISE_SIGMA,
        action_l2=ACTION_L2,
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
    agent = run.restore(make_agent(env, seed))
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    for step in run.steps(total_steps):
        at_random = step <= LEARNING_STARTS or env.np_random.random() < RANDOM_ACTIONS
        action = env.action_space.sample() if at_random else agent.act(obs)
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
