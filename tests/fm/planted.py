"""A factorization machine to be found again from what it predicts."""

import numpy as np

from fm.design import Block, Design
from fm.model import Coefficients


def planted(rng, n_users, n_items, n_rows, k=2):
    """A design of random pairs, the machine, and the design of all pairs."""

    def design(users, items):
        return Design((Block("user", users, n_users), Block("item", items, n_items)))

    n = n_users + n_items
    machine = Coefficients(3.0, rng.normal(scale=0.5, size=n), rng.normal(scale=0.8, size=(n, k)))
    some = design(rng.integers(0, n_users, n_rows), rng.integers(0, n_items, n_rows))
    return some, machine, design(*np.divmod(np.arange(n_users * n_items), n_items))
