"""Q-learning (Watkins 1989; Sutton & Barto 2018, section 6.5): off-policy temporal-difference control.

- It acts ε-greedily: with probability ε a random action, else the action with the highest value.
- It learns the values of the greedy policy: the target uses the best next action, whichever is really taken next.
"""

from model import QTable

import numpy as np


class Agent:
    """Learns a table of action values.

    alpha: first step size α; it falls linearly to 0 over `alpha_steps` updates, so that the table comes to
    rest even where the target is noisy. gamma: discount γ. epsilon: chance ε of a random action.
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
        seed: int,
    ):
        self.q = QTable(n_states, n_actions)
        self.n_actions, self.gamma, self.epsilon = n_actions, gamma, epsilon
        self.alpha_start, self.alpha_steps, self.updates = alpha, alpha_steps, 0
        self.rng = np.random.default_rng(seed)

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

    def learn(self, obs: int, action: int, reward: float, next_obs: int, terminated: bool) -> dict[str, float]:
        """One update from one transition (Sutton & Barto, eq. 6.8). Returns values for the curves."""
        next_value = self.q(next_obs).max()
        td_target = reward + self.gamma * (1 - terminated) * next_value
        td_error = td_target - self.q(obs)[action]
        self.q.values[obs, action] += self.alpha * td_error
        self.updates += 1
        return {"loss/td_error": abs(td_error), "policy/epsilon": self.epsilon}

    def state_dict(self) -> dict:
        """All that training needs to go on."""
        return {"q": self.q.values, "updates": self.updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned."""
        self.q.values[:] = state["q"]
        self.updates, self.rng.bit_generator.state = state["updates"], state["rng"]
