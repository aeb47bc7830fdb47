"""Small designs and machines for the tests of this room."""

import numpy as np
from scipy import sparse

from fm import Block, Design
from fm.model import Coefficients


def random_coefficients(rng, n_features, k, n_blocks=0):
    """With `n_blocks`, unknown levels have coefficients of their own."""
    return Coefficients(
        rng.normal(),
        rng.normal(size=n_features),
        rng.normal(size=(n_features, k)),
        rng.normal(size=(n_blocks, k + 1)) if n_blocks else None,
    )


def random_design(rng, n_rows=30, *, side=True, unknown=True):
    """Users, items and days, some of them unknown, users and days with side features."""

    def block(name, n_levels, n_side_features=0):
        features = (
            sparse.random_array((n_levels, n_side_features), density=0.6, rng=rng)
            if n_side_features and side
            else None
        )
        return Block(name, rng.integers(-1 if unknown else 0, n_levels, n_rows), n_levels, features)

    return Design((block("user", 5, 3), block("item", 7), block("day", 4, 2)))


def ratings(rng, n_users=40, n_items=30, n_rows=800, k=2, noise=0.3):
    """A design of users and items, and y drawn from a factorization machine with that noise."""
    X = Design(
        (
            Block("user", rng.integers(0, n_users, n_rows), n_users),
            Block("item", rng.integers(0, n_items, n_rows), n_items),
        )
    )
    user, item = (block.levels for block in X)
    w_user, w_item = rng.normal(scale=0.5, size=n_users), rng.normal(scale=0.5, size=n_items)
    v_user, v_item = (
        rng.normal(scale=0.8, size=(n_users, k)),
        rng.normal(scale=0.8, size=(n_items, k)),
    )
    y = 3 + w_user[user] + w_item[item] + np.vecdot(v_user[user], v_item[item])
    return X, y + rng.normal(scale=noise, size=n_rows)
