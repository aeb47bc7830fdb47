"""The chain of `fm.gibbs`: its state, and one sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.block_kernel import FACTORS, sweep
from fm.design import Design
from fm.likelihoods import Gaussian, OrderedProbit, Probit
from fm.linear import LinearBlock, explain
from fm.priors import Group, Prior, SideGroup
from fm.rows import rows_of
from fm.threads import Map


class Draw(NamedTuple):
    """A sweep's draw: the four fields of `fm.model.Coefficients`, and the likelihood's parameters.

    unknown : (n_blocks, k + 1) the (w, v) of level -1 of each block of a `Design`: its prior mean (zero if
        training rows had that level). No rows for a matrix.
    alpha : precision of the noise; 1 for probit and ordered probit.
    cut_points : (n_classes - 1,) for ordered probit (whose w0 is 0), else empty.
    """

    w0: float
    w: NDArray
    V: NDArray
    unknown: NDArray
    alpha: float
    cut_points: NDArray


@dataclass(frozen=True)
class GibbsState:
    """All that the next sweep depends on: arrays, and the generator's state (`bit_generator.state`)."""

    arrays: dict[str, NDArray]
    generator: dict
    n_sweeps: int


LATENT = {"probit": Probit, "ordered": OrderedProbit}


class Chain:
    """Rows, groups and likelihood, with the coefficients `theta` (n_columns, k + 1) = [w V] of the columns.
    The first groups are those of the columns, the others those of a design's linear blocks, one each.

    Parameters : as those of `fm.gibbs.gibbs`. Columns are those of `X`, of a design its levels.
    """

    def __init__(
        self,
        X: Design | sparse.csr_array,
        y: NDArray,
        *,
        k: int,
        likelihood: str,
        weight: NDArray | None,
        groups: ArrayLike | None,
        prior: Prior | None,
        dtype: DTypeLike,
    ) -> None:
        gaussian = likelihood == "gaussian"
        prior = prior or (Prior.of(y, weight) if gaussian else Prior())
        self._likelihood = Gaussian(y, weight, prior) if gaussian else LATENT[likelihood](y, prior)
        self._rows, members = rows_of(X, weight, groups, k=min(k, FACTORS), dtype=dtype)
        self.theta = np.zeros((sum(len(columns) for columns in members), k + 1))
        seen = np.zeros(len(self.theta), bool)
        for columns, layout in zip(self._rows.columns, self._rows.layouts, strict=True):
            seen[columns] = layout.counts > 0
        self._is_design = isinstance(X, Design)
        blocks = X.blocks if self._is_design else []
        self._linear = [LinearBlock(block, weight) for block in blocks if block.linear]
        sides = [block.side for block in blocks] or [None] * len(members)
        self._groups = [
            *(
                _group(columns, seen[columns], k, prior, side)
                for columns, side in zip(members, sides, strict=False)
            ),
            *(_group(np.arange(len(b.theta)), b.seen, 0, prior, b.side) for b in self._linear),
        ]
        self._in_every_row = [
            *(_sums_to_one(X, columns, g) for g, columns in enumerate(members)),
            *(bool(np.all(block.levels >= 0)) for block in blocks if block.linear),
        ]
        self._n_interacting = len(members)
        self._group_of = np.zeros(len(self.theta), np.intp)
        for g, columns in enumerate(members):
            self._group_of[columns] = g

    def initialize(self, std: float, rng: np.random.Generator) -> None:
        """V ~ N(0, std^2), everything else at a plain guess."""
        self.rng = rng
        self.theta[:, 1:] = std * rng.standard_normal(self.theta[:, 1:].shape)

    def sweep(self, each: Map = map) -> None:
        """Steps 1 to 4 of `fm.gibbs`; `each` works on batches of levels."""
        rows, likelihood, rng = self._rows, self._likelihood, self.rng
        interacting, linear = (
            self._groups[: self._n_interacting],
            self._groups[self._n_interacting :],
        )
        means = np.empty_like(self.theta)
        for group in interacting:
            means[group.columns] = group.means()
        priors = [
            (means[columns], self._groups[self._group_of[columns[0]]].precision)
            for columns in rows.columns
        ]
        target = likelihood.target
        if linear:
            target = target - sum(block.effect() for block in self._linear)
        residual = sweep(
            rows, target, likelihood.w0, self.theta, priors, likelihood.alpha, rng, each
        )
        priors = [(group.means(), group.precision) for group in linear]
        likelihood.draw(explain(self._linear, residual, priors, likelihood.alpha, rng), rng)
        thetas = self._thetas()
        for g, in_every_row in enumerate(self._in_every_row):
            self._groups[g].draw(thetas[g], rng)
            if in_every_row:
                self._translate(g, thetas)
        for group, theta in zip(interacting, thetas, strict=False):
            self.theta[group.columns] = theta

    def _thetas(self) -> list[NDArray]:
        """(columns, k + 1) of each group; of linear blocks (levels, 1), not copies."""
        interacting = self._groups[: self._n_interacting]
        return [self.theta[group.columns] for group in interacting] + [
            b.theta for b in self._linear
        ]

    def _translate(self, g: int, thetas: list[NDArray]) -> None:
        """Draw where group g's theta have their origin: in a design of w and v, in a matrix of w alone."""
        shears = self._is_design and g < self._n_interacting
        group = self._groups[g]
        P, slope = group.shift_prior()
        p, s = self._likelihood.shift_prior()
        P[0, 0] += p
        slope[0] += s
        others = [h for h in range(self._n_interacting) if h != g] if shears else []
        for h in others:
            p, s = self._groups[h].shear_prior()
            P[1:, 1:] += p
            slope[1:] += s
        n = len(P) if shears else 1
        c = np.zeros(len(P))
        root = np.linalg.cholesky(P[:n, :n])
        c[:n] = np.linalg.solve(
            root.T, np.linalg.solve(root, slope[:n]) + self.rng.standard_normal(n)
        )
        self._likelihood.shift(c[0])
        group.shift(thetas[g], c)
        for h in others:
            self._groups[h].shear(thetas[h], c[1:])

    def current(self) -> Draw:
        parts = [
            group.flat(theta) for group, theta in zip(self._groups, self._thetas(), strict=True)
        ]
        interacting, linear = parts[: self._n_interacting], parts[self._n_interacting :]
        theta = np.concatenate(interacting) if self._is_design else self.theta.copy()
        unknown = np.zeros((len(parts) if self._is_design else 0, theta.shape[1]))
        for g in range(len(unknown)):
            if self._in_every_row[g]:
                mean = self._groups[g].unknown()
                unknown[g, : len(mean)] = mean
        likelihood = self._likelihood
        return Draw(
            likelihood.w0,
            np.concatenate([theta[:, 0], *(part[:, 0] for part in linear)]),
            theta[:, 1:],
            unknown,
            likelihood.alpha,
            likelihood.cut_points,
        )

    def state(self, n_sweeps: int) -> GibbsState:
        arrays = {name: np.array(getattr(owner, key)) for name, owner, key in self._state()}
        return GibbsState(arrays, self.rng.bit_generator.state, n_sweeps)

    def restore(self, state: GibbsState) -> None:
        for name, owner, key in self._state():
            setattr(owner, key, state.arrays[name].copy())
        bits = getattr(np.random, state.generator["bit_generator"])()
        bits.state = state.generator
        self.rng = np.random.Generator(bits)

    @property
    def train_mse(self) -> float:
        """Of the current draw; nan where y is not the target."""
        return self._likelihood.train_mse

    def _state(self) -> Iterator[tuple[str, object, str]]:
        """(name of the array, object that has it, its attribute)."""
        yield "theta", self, "theta"
        for b, block in enumerate(self._linear):
            yield f"linear{b}", block, "theta"
        for key in self._likelihood.state:
            yield key, self._likelihood, key
        for g, group in enumerate(self._groups):
            for key in group.state:
                yield f"{key}{g}", group, key


def _group(
    columns: NDArray[np.intp],
    seen: NDArray[np.bool_],
    k: int,
    prior: Prior,
    side: sparse.csr_array | None,
) -> Group:
    given = columns, seen, k, prior
    return Group(*given) if side is None else SideGroup(*given, side)


def _sums_to_one(X: Design | sparse.csr_array, columns: NDArray[np.intp], g: int) -> bool:
    if isinstance(X, Design):
        return bool(np.all(X.blocks[g].levels >= 0))
    return bool(np.all(X[:, columns].sum(axis=1) == 1))
