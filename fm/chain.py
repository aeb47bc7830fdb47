"""The chain of `fm.gibbs`: its state, and one sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse

from fm.arrays import BoolArray, FloatArray, IndexArray, Map, before_order
from fm.block_kernel import FACTORS, LinearBlock, Residual, update_linear
from fm.design import Design
from fm.likelihoods import Gaussian, LevelNoise, OrderedProbit, Probit
from fm.model import Coefficients, Draw, predict
from fm.moves import Shears, scale_everything, scale_group
from fm.priors import Group, Prior, SideGroup
from fm.row_kernel import RowKernel
from fm.rows import checksum, digest, rows_of


@dataclass(frozen=True)
class GibbsState:
    """All that the next sweep depends on.

    generator : `bit_generator.state`.
    units : those of the columns of a matrix (`fm.rows.Rows`); None where they are known to be the
        same.
    centers : taken from the columns of a matrix beforehand.
    rows : checksums of X and of y, by which `gibbs` recognizes the rows; None where they are known
        to be the same.
    """

    arrays: dict[str, FloatArray]
    generator: Mapping[str, Any]
    n_sweeps: int
    units: FloatArray | None = None
    rows: tuple[int, int] | None = None
    centers: FloatArray | None = None


FIRST_W = 0.1
"""Spread of w, in units of y, from which the first prior is drawn."""


EARLY, EVERY = 20, 5
"""Scales move in each of the first sweeps, and in every fifth one after these."""


class Chain:
    """Rows, groups and likelihood, with the coefficients of the columns.

    The first groups are those of the columns, the others those of a design's linear blocks.
    Parameters are as those of `fm.gibbs.gibbs`.

    theta : (n_columns, k + 1) = [w V]. Columns are those of `X` over their units, in the order of
        `fm.rows.Rows`, of a design its levels.
    """

    def __init__(
        self,
        X: Design | sparse.csr_array,
        y: FloatArray,
        *,
        k: int,
        likelihood: str,
        weight: FloatArray | None,
        groups: ArrayLike | None,
        noise_by: Sequence[str] = (),
        prior: Prior | None,
        dtype: DTypeLike,
    ) -> None:
        self._X, self._y = X, y
        gaussian = likelihood == "gaussian"
        default = prior is None
        self._prior = prior = prior or (Prior.of(y, weight) if gaussian else Prior())
        self._noise: LevelNoise | None = None
        if noise_by:
            self._noise = LevelNoise([X.block(name) for name in noise_by], weight)
            weight = self._noise.weight()
        observed = y, self._noise.row_weight if self._noise else weight, prior
        self._likelihood = (
            Probit(*observed)
            if likelihood == "probit"
            else (Gaussian if gaussian else OrderedProbit)(*observed, self._noise)
        )
        rows = rows_of(X, weight, groups, k=min(k, FACTORS), dtype=dtype)
        self._kernel, members, self._units = rows.kernel, rows.groups, rows.units
        self._order = rows.order
        self.theta = np.zeros((len(rows.counts), k + 1))
        if default:
            prior = prior.for_pairs(rows.counts.sum() / len(y), k)
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
        self._row_kernel = self._kernel if isinstance(self._kernel, RowKernel) else None
        self._n_sweeps = 0

    def initialize(self, std: float, rng: np.random.Generator) -> None:
        """Draw V ~ N(0, std^2), and where scales move, everything else given V."""
        self.rng = rng
        self.theta[:, 1:] = std * rng.standard_normal(self.theta[:, 1:].shape)
        if self._row_kernel is None:
            return
        unit = self._prior.unit
        self.theta[:, 1:] *= np.sqrt(unit)
        start = self.theta.copy()
        start[:, 0] = FIRST_W * unit * rng.standard_normal(len(start))
        for group in self._groups[: self._n_interacting]:
            group.draw(start[group.columns], rng)
        self._row_kernel.load(self.theta)
        likelihood = self._likelihood
        e = likelihood.target - self._row_kernel.prediction - likelihood.w0
        likelihood.draw(Residual(self._kernel, likelihood.target, None, e), rng)
        self._weigh()

    def sweep(self, each: Map = map) -> None:
        """Take steps 1 to 4 of `fm.gibbs`; `each` works on batches of levels or pieces of rows."""
        likelihood, rng = self._likelihood, self.rng
        self._n_sweeps += 1
        moves = self._n_sweeps <= EARLY or self._n_sweeps % EVERY == 0
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
        if moves and self._row_kernel is not None:
            self._move_scales(self._row_kernel, residual)
        others = [(group.means(), group.precision) for group in self._groups[self._n_interacting :]]
        residual = update_linear(self._linear, residual, others, likelihood.alpha, rng)
        likelihood.draw(residual, rng)
        self._weigh()
        self._draw_groups()
        if moves and self._row_kernel is not None and isinstance(likelihood, Probit):
            self._expand_parameters(self._row_kernel, likelihood)

    def _weigh(self) -> None:
        """Weigh the rows by the precision of their noise, where that differs."""
        if self._noise is not None:
            weight = self._noise.weight()
            for part in (self._kernel, *self._linear):
                part.weigh(weight)

    def _move_scales(self, kernel: RowKernel, residual: Residual) -> None:
        """Draw the scale of each group of columns."""
        for g, group in enumerate(self._groups[: self._n_interacting]):
            sets = [
                members
                for members, of in zip(kernel.sets, self._group_of_set, strict=True)
                if of == g
            ]
            alpha = self._likelihood.alpha
            scale_group(kernel, sets, group, self.theta, residual.vector(), alpha, self.rng)
        kernel.explain(residual.target, self._likelihood.w0, residual.vector())

    def _expand_parameters(self, kernel: RowKernel, likelihood: Probit) -> None:
        """Draw the latent scale of a probit model, unless rows have weights."""
        if not likelihood.expands:
            return
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

    def _thetas(self) -> list[FloatArray]:
        """Return (columns, k + 1) of each group; of linear blocks (levels, 1), not copies."""
        interacting = self._groups[: self._n_interacting]
        return [self.theta[group.columns] for group in interacting] + [
            b.theta for b in self._linear
        ]

    def _draw_groups(self) -> None:
        """Draw the prior's parameters of each group, and the origin of its theta."""
        thetas, n = self._thetas(), self._n_interacting
        k = self.theta.shape[1] - 1
        shears = Shears(self._groups[:n], k)
        moved = np.zeros(k + 1)
        for g, (group, in_every_row) in enumerate(
            zip(self._groups, self._in_every_row, strict=True)
        ):
            own_shears = shears if g < n else None
            if own_shears is not None:
                own_shears.apply(g, thetas[g])
            group.draw(thetas[g], self.rng)
            if own_shears is not None:
                own_shears.learn(g)
            if in_every_row:
                c = self._translate(g, thetas[g], own_shears)
                if g < n:
                    moved += c
        for g, group in enumerate(self._groups[:n]):
            shears.apply(g, thetas[g])
            self.theta[group.columns] = thetas[g]
        self._kernel.shift(moved)

    def _translate(self, g: int, theta: FloatArray, shears: Shears | None) -> FloatArray:
        """Add c (k + 1,), of a linear block (1,), to a group's theta; return c."""
        group = self._groups[g]
        P, slope = group.shift_prior()
        p, s = self._likelihood.shift_prior()
        P[0, 0] += p
        slope[0] += s
        if shears is not None:
            diagonal, slopes = shears.prior(g)
            P[1:, 1:] += np.diag(diagonal)
            slope[1:] += slopes
        root = np.linalg.cholesky(P)
        noise = self.rng.standard_normal(len(P))
        c = np.linalg.solve(root.T, np.linalg.solve(root, slope) + noise)
        self._likelihood.shift(c[0])
        group.shift(theta, c)
        if shears is not None:
            shears.add(g, c[1:])
        return c

    def current(self) -> Draw:
        """Return the current draw, in arrays of its own."""
        parts = [
            group.flat(theta) for group, theta in zip(self._groups, self._thetas(), strict=True)
        ]
        interacting, linear = parts[: self._n_interacting], parts[self._n_interacting :]
        if self._is_design:
            theta = np.concatenate(interacting)
        else:
            theta = before_order(self.theta / self._units[:, None], self._order)
        unknown: FloatArray = np.zeros((len(parts) if self._is_design else 0, theta.shape[1]))
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
            np.empty(0) if self._noise is None else self._noise.precision,
        )

    def state(self, n_sweeps: int) -> GibbsState:
        """Return all that the next sweep depends on."""
        arrays = {name: np.asarray(getattr(owner, key)) for name, owner, key in self._state()}
        arrays["theta"] = before_order(self.theta, self._order)
        units = before_order(self._units, self._order)
        return GibbsState(arrays, self.rng.bit_generator.state, n_sweeps, units, self._rows())

    def restore(self, state: GibbsState) -> None:
        """Go on from `state`; for other rows compute their sums and draw latent targets."""
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
        self.theta = self.theta[self._order]
        if state.units is not None:
            self.theta *= (self._units / state.units[self._order])[:, None]
        self._weigh()
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
        """Yield the name of an array, the object that has it, and its attribute."""
        yield "theta", self, "theta"
        for b, block in enumerate(self._linear):
            yield f"linear{b}", block, "theta"
        for key in self._kernel.state:
            yield key, self._kernel, key
        for key in self._likelihood.state:
            yield key, self._likelihood, key
        if self._noise is not None:
            for key in self._noise.state:
                yield f"noise_{key}", self._noise, key
        for g, group in enumerate(self._groups):
            for key in group.state:
                yield f"{key}{g}", group, key


def _group(
    columns: IndexArray,
    seen: BoolArray,
    k: int,
    prior: Prior,
    side: sparse.csr_array | None,
) -> Group:
    given = columns, seen, k, prior
    return Group(*given) if side is None else SideGroup(*given, side)
