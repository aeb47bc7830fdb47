"""Features like a given one, by their factors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fm.base import FactorizationMachine
from fm.design import Design
from fm.model import level_tables
from fm.validation import check_choice, check_integer, nearest


def similar(
    estimator: FactorizationMachine,
    feature: int | str,
    n: int = 10,
    *,
    design: Design | None = None,
    measure: str = "cosine",
) -> list[tuple[int | str, float]]:
    """The n features whose factors are most like the given one's, best first, each with its similarity.

    Factors are known up to a rotation only; inner products and cosines are what a rotation leaves alone.
    Those of draws from a posterior are averaged over the draws.

    Parameters
    ----------
    feature : its column; with a design, the name of a level as in `design.feature_names()` (`"item=50"`).
    design : compares the levels of the feature's block only, each with its side features.
    measure : "cosine", or "inner" for the inner product, which favours features with large effects.

    Raises
    ------
    KeyError : no such feature. ValueError : n or measure out of range, k = 0, or a level of a linear block.
    """
    check_integer("n", n, low=1)
    check_choice("measure", measure, ("cosine", "inner"))
    names, V = _columns(estimator) if design is None else _levels(estimator, design, feature)
    if feature not in names:
        raise KeyError(f"no feature {feature!r}; there are columns 0 to {len(names) - 1}")
    if V.shape[1] == 0:
        raise ValueError("a model with k=0 has no factors to compare")
    if measure == "cosine":
        lengths = np.linalg.norm(V, axis=1, keepdims=True)
        V = np.divide(V, lengths, out=np.zeros_like(V), where=lengths > 0)
    given = names.index(feature)
    similarity = V @ V[given]
    order = np.argsort(-similarity, kind="stable")
    return [(names[j], float(similarity[j])) for j in order[order != given][:n]]


def _columns(estimator: FactorizationMachine) -> tuple[range, NDArray]:
    V = estimator.coefficients_.V
    return range(len(V)), V


def _levels(
    estimator: FactorizationMachine, design: Design, level: str
) -> tuple[list[str], NDArray]:
    """Names and factors of the levels of the block that has this one."""
    every = []
    for block, table in zip(design, level_tables(design, estimator.coefficients_), strict=True):
        names = block.feature_names()[: block.n_levels]
        if level in names:
            if block.linear:
                raise ValueError(
                    f"{level!r} has no factors to compare: block {block.name!r} is linear"
                )
            return names, table[:-1, :-1]
        every += names
    raise KeyError(f"no level {level!r}{nearest(level, every)}")
