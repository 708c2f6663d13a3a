"""Sarsa(λ) (Rummery & Niranjan 1994; Sutton & Barto, sections 12.5 and 12.7): Sarsa with eligibility traces.

One difference from Sarsa:
- Each TD error updates every state-action pair visited in this episode, weighted by its trace: (γλ)^k after k steps.
"""

from model import QTable

import numpy as np


class Agent:
    """Learns a table of action values.

    alpha: first step size α; it falls linearly to 0 over `alpha_steps` updates, so that the table comes to
    rest even where the target is noisy. gamma: discount γ. epsilon: chance ε of a random action.
    lambda_: trace decay λ. trace: "accumulating", "replacing" or "dutch". Raises ValueError at any other trace.
    """

    def __init__(
        self,
        n_states: int,
        n_actions: int,
        *,
        alpha: float,
        alpha_steps: int,
        gamma: float,
        epsilon: float,
        lambda_: float,
        trace: str,
        seed: int,
    ):
        self.q = QTable(n_states, n_actions)
        self.n_actions, self.gamma, self.epsilon = n_actions, gamma, epsilon
        self.alpha_start, self.alpha_steps, self.updates = alpha, alpha_steps, 0
        self.rng = np.random.default_rng(seed)
        if trace not in ("accumulating", "replacing", "dutch"):
            raise ValueError(f"unknown trace {trace!r}")
        self.lambda_, self.trace = lambda_, trace
        self.traces = np.zeros_like(self.q.values)

    @property
    def alpha(self) -> float:
        """The step size α of the next update."""
        return self.alpha_start * max(0.0, 1 - self.updates / self.alpha_steps)

    def act(self, obs: int | np.ndarray, explore: bool = True) -> np.ndarray:
        """The action for one state, or one for each of a batch of states [batch]: ε-greedy, or greedy."""
        q = self.q(obs)  # [..., n_actions]
        if not explore:
            return q.argmax(axis=-1)
        tie_break = self.rng.random(q.shape)  # before anything is learned all actions are equally good
        action = np.where(q == q.max(axis=-1, keepdims=True), tie_break, -1.0).argmax(axis=-1)
        random_action = self.rng.integers(self.n_actions, size=action.shape)
        return np.where(self.rng.random(action.shape) < self.epsilon, random_action, action)[()]  # 0-d array to number

    def begin_episode(self) -> None:
        """Forget the traces: no credit flows from one episode into another."""
        self.traces[:] = 0

    def learn(
        self, obs: int, action: int, reward: float, next_obs: int, next_action: int, terminated: bool
    ) -> dict[str, float]:
        """One update from one transition (Sutton & Barto, eqs. 12.7 and 12.16). Returns values for the curves."""
        next_value = self.q(next_obs)[next_action]
        td_target = reward + self.gamma * (1 - terminated) * next_value
        td_error = td_target - self.q(obs)[action]
        self.traces *= self.gamma * self.lambda_
        if self.trace == "accumulating":
            self.traces[obs, action] += 1
        elif self.trace == "replacing":
            self.traces[obs, action] = 1
        else:  # dutch: between the two
            self.traces[obs, action] += 1 - self.alpha * self.traces[obs, action]
        self.q.values += self.alpha * td_error * self.traces
        self.updates += 1
        return {"loss/td_error": abs(td_error), "policy/epsilon": self.epsilon}

    def state_dict(self) -> dict:
        """All that training needs to go on."""
        return {"q": self.q.values, "updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned."""
        self.q.values[:] = state["q"]
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]
