"""Who rated what in training, whatever the rating: implicit feedback."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from bench.features.context import Context, Side


def implicit(context: Context) -> Iterator[Side]:
    """Give of each user the items she rated in training, as one row of length 1.

    SVD++ (Koren, KDD 2008). It says nothing of a user without training ratings.
    """
    labels = tuple(
        f"rated {label}" for label in np.asarray(context.field("item", "implicit").labels)
    )
    yield Side("user", _normalized(_given(context)), labels)


def implicit_items(context: Context) -> Iterator[Side]:
    """Give of each item the users who rated it, as one row of length 1: SVD++ turned over."""
    users = np.asarray(context.field("user", "implicit_items").labels)
    labels = tuple(f"rated by {label}" for label in users)
    yield Side("item", _normalized(_given(context).T.tocsr()), labels)


def _given(context: Context) -> sparse.csr_array:
    """(n_users, n_items), 1 where a user has rated an item in training."""
    blocks = [context.field(name, "implicit") for name in ("user", "item")]
    users, items = (block.levels[context.train_rows] for block in blocks)
    shape = tuple(block.n_levels for block in blocks)
    return sparse.coo_array((np.ones(len(users)), (users, items)), shape=shape).tocsr().sign()


def _normalized(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows scaled to length 1; empty ones stay empty."""
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sparse.csr_array(matrix.multiply(1 / np.maximum(lengths, 1)[:, None]))
