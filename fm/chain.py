"""The chain of `fm.gibbs`: its state, and one sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.block_kernel import FACTORS, LinearBlock, Residual, update_linear
from fm.design import Design
from fm.likelihoods import Gaussian, OrderedProbit, Probit
from fm.model import Coefficients, predict
from fm.priors import Group, Prior, SideGroup
from fm.row_kernel import RowKernel
from fm.rows import checksum, digest, rows_of
from fm.scale_moves import scale_everything, scale_group
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
    """All that the next sweep depends on.

    generator : `bit_generator.state`.
    units : those of the columns of a matrix (`fm.rows.Rows`); None where they are known to be the same.
    rows : checksums of X and of y, by which `gibbs` recognizes the rows; None where they are known to be the same.
    """

    arrays: dict[str, NDArray]
    generator: dict
    n_sweeps: int
    units: NDArray | None = None
    rows: tuple[int, int] | None = None


LATENT = {"probit": Probit, "ordered": OrderedProbit}

FIRST_W = 0.1
"""Spread of w, in units of y, from which the first prior is drawn."""


EARLY, EVERY = 20, 5
"""Scales are moved in each of the first sweeps, and in every so manieth one after these."""


class Chain:
    """Rows, groups and likelihood, with the coefficients `theta` (n_columns, k + 1) = [w V] of the columns.
    The first groups are those of the columns, the others those of a design's linear blocks, one each.

    Parameters : as those of `fm.gibbs.gibbs`. Columns are those of `X` over their units, of a design its levels.
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
        self._X, self._y = X, y
        gaussian = likelihood == "gaussian"
        self._prior = prior = prior or (Prior.of(y, weight) if gaussian else Prior())
        self._likelihood = (
            Gaussian(y, weight, prior) if gaussian else LATENT[likelihood](y, weight, prior)
        )
        rows = rows_of(X, weight, groups, k=min(k, FACTORS), dtype=dtype)
        self._kernel, members, self._units = rows.kernel, rows.groups, rows.units
        self.theta = np.zeros((len(rows.counts), k + 1))
        self._is_design = isinstance(X, Design)
        blocks = X.blocks if self._is_design else []
        self._linear = [LinearBlock(block, weight) for block in blocks if block.linear]
        sides = [block.side_features for block in blocks] or [None] * len(members)
        self._groups = [
            *(
                _group(columns, rows.counts[columns] > 0, k, prior, side)
                for columns, side in zip(members, sides, strict=False)
            ),
            *(
                _group(np.arange(len(b.theta)), b.seen, 0, prior, b.side_features)
                for b in self._linear
            ),
        ]
        self._in_every_row = [
            *rows.is_field,
            *(bool(np.all(block.levels >= 0)) for block in blocks if block.linear),
        ]
        self._n_interacting = len(members)
        group_of = np.zeros(len(self.theta), np.intp)
        for g, columns in enumerate(members):
            group_of[columns] = g
        self._group_of_set = [int(group_of[columns[0]]) for columns in self._kernel.columns]
        self._moves_scales = isinstance(self._kernel, RowKernel)
        self._n_sweeps = 0

    def initialize(self, std: float, rng: np.random.Generator) -> None:
        """V ~ N(0, std^2), everything else at a plain guess, or where scales move, drawn given V."""
        self.rng = rng
        self.theta[:, 1:] = std * rng.standard_normal(self.theta[:, 1:].shape)
        if not self._moves_scales:
            return
        unit = self._prior.unit
        self.theta[:, 1:] *= np.sqrt(unit)
        start = self.theta.copy()
        start[:, 0] = FIRST_W * unit * rng.standard_normal(len(start))
        for group in self._groups[: self._n_interacting]:
            group.draw(start[group.columns], rng)
        self._kernel.load(self.theta)
        likelihood = self._likelihood
        e = likelihood.target - self._kernel.prediction - likelihood.w0
        likelihood.draw(Residual(self._kernel, likelihood.target, None, e), rng)

    def sweep(self, each: Map = map) -> None:
        """Steps 1 to 4 of `fm.gibbs`; `each` works on batches of levels or pieces of rows."""
        likelihood, rng = self._likelihood, self.rng
        self._n_sweeps += 1
        moves = self._moves_scales and (self._n_sweeps <= EARLY or self._n_sweeps % EVERY == 0)
        interacting = self._groups[: self._n_interacting]
        means = np.empty_like(self.theta)
        for group in interacting:
            means[group.columns] = group.means()
        priors = [
            (means[columns], self._groups[g].precision)
            for columns, g in zip(self._kernel.columns, self._group_of_set, strict=True)
        ]
        target = likelihood.target
        if self._linear:
            target = target - sum(block.effect() for block in self._linear)
        residual = self._kernel.sweep(
            target, likelihood.w0, self.theta, priors, likelihood.alpha, rng, each
        )
        if moves:
            self._move_scales(residual)
        priors = [(group.means(), group.precision) for group in self._groups[self._n_interacting :]]
        residual = update_linear(self._linear, residual, priors, likelihood.alpha, rng)
        likelihood.draw(residual, rng)
        thetas = self._thetas()
        for g, in_every_row in enumerate(self._in_every_row):
            self._groups[g].draw(thetas[g], rng)
            if in_every_row:
                self._translate(g, thetas)
        for group, theta in zip(interacting, thetas, strict=False):
            self.theta[group.columns] = theta
        if moves and likelihood.expands:
            self._expand_parameters()

    def _move_scales(self, residual: Residual) -> None:
        """Draw the scale of each group of columns."""
        for g, group in enumerate(self._groups[: self._n_interacting]):
            sets = [
                members
                for members, of in zip(self._kernel.sets, self._group_of_set, strict=True)
                if of == g
            ]
            alpha = self._likelihood.alpha
            scale_group(self._kernel, sets, group, self.theta, residual.e, alpha, self.rng)
        self._kernel.explain(residual.target, self._likelihood.w0, residual.e)

    def _expand_parameters(self) -> None:
        """Draw the latent scale of a probit model."""
        likelihood, kernel = self._likelihood, self._kernel
        e = likelihood.target - kernel.prediction - likelihood.w0
        for block in self._linear:
            e -= block.effect()
        intercept = likelihood.w0 * np.sqrt(self._prior.location)
        c = scale_everything(len(e), float(e @ e), intercept, self._groups, self.rng)
        likelihood.rescale(c)
        kernel.rescale(c)
        scale = np.concatenate([[c], np.full(self.theta.shape[1] - 1, np.sqrt(c))])
        self.theta *= scale
        for block in self._linear:
            block.theta = block.theta * c
        for group in self._groups:
            group.rescale(scale[: len(group.mean)])

    def _thetas(self) -> list[NDArray]:
        """(columns, k + 1) of each group; of linear blocks (levels, 1), not copies."""
        interacting = self._groups[: self._n_interacting]
        return [self.theta[group.columns] for group in interacting] + [
            b.theta for b in self._linear
        ]

    def _translate(self, g: int, thetas: list[NDArray]) -> None:
        """Draw where group g's theta have their origin: of w and v, or of a matrix of blocks w alone."""
        shears = (self._is_design or self._moves_scales) and g < self._n_interacting
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
        if g < self._n_interacting:
            self._kernel.shift(c)

    def current(self) -> Draw:
        parts = [
            group.flat(theta) for group, theta in zip(self._groups, self._thetas(), strict=True)
        ]
        interacting, linear = parts[: self._n_interacting], parts[self._n_interacting :]
        theta = (
            np.concatenate(interacting) if self._is_design else self.theta / self._units[:, None]
        )
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
        arrays = {name: np.asarray(getattr(owner, key)) for name, owner, key in self._state()}
        return GibbsState(arrays, self.rng.bit_generator.state, n_sweeps, self._units, self._rows())

    def restore(self, state: GibbsState) -> None:
        """Go on from `state`. Of other rows than its own the sums are computed and latent targets drawn anew."""
        self._n_sweeps = state.n_sweeps
        bits = getattr(np.random, state.generator["bit_generator"])()
        bits.state = state.generator
        self.rng = np.random.Generator(bits)
        same_X, same_y = (
            (True, True)
            if state.rows is None
            else (a == b for a, b in zip(state.rows, self._rows(), strict=True))
        )
        for name, owner, key in self._state():
            of_rows = owner is self._kernel or key == "target"
            if name in state.arrays and (same_X or not of_rows) and (same_y or key != "target"):
                setattr(owner, key, state.arrays[name].copy())
        if state.units is not None:
            self.theta *= (self._units / state.units)[:, None]
        likelihood = self._likelihood
        if "target" in likelihood.state and not (same_X and same_y):
            f = predict(self._X, Coefficients(*self.current()[:4]))
            likelihood.draw(
                Residual(self._kernel, likelihood.target, None, likelihood.target - f), self.rng
            )

    def _rows(self) -> tuple[int, int]:
        return digest(self._X), checksum(self._y)

    @property
    def train_mse(self) -> float:
        """Of the current draw; nan where y is not the target."""
        return self._likelihood.train_mse

    def _state(self) -> Iterator[tuple[str, object, str]]:
        """(name of the array, object that has it, its attribute)."""
        yield "theta", self, "theta"
        for b, block in enumerate(self._linear):
            yield f"linear{b}", block, "theta"
        for key in self._kernel.state:
            yield key, self._kernel, key
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
