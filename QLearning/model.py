"""The function being learned: a table of action values Q(s, a)."""

import numpy as np


class QTable:
    """One number for each state and action: the expected return of taking that action there.

    All values are zero at first. Where every step costs -1 this is optimistic: an action that was not tried looks best,
    so that even a greedy agent explores (Sutton & Barto, section 2.6).
    """

    def __init__(self, n_states: int, n_actions: int):
        self.values = np.zeros((n_states, n_actions))

    def __call__(self, state: int | np.ndarray) -> np.ndarray:
        """Action values [n_actions] of one state, or [batch, n_actions] of a batch of states."""
        return self.values[state]
