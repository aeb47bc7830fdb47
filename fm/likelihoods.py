"""How y is observed from the machine's prediction eta: the part of a Gibbs sweep that looks at y.

    Gaussian        y = eta + noise of precision alpha weight
    Probit          y = [z > 0],                        z = eta + noise of precision 1
    OrderedProbit   y = number of cut points below z,   z as above; the cut points do the work of w0

A row of weight s stands for s rows, and its latent z for the mean of their s latent targets. Where
s is a whole number up to `MOST_COPIES` that many are drawn, so that z has exactly the distribution
it has with repeated rows; else z has the right mean and variance.

The latent z takes y's place as the target of the blocks, and given z all is Gaussian (Albert &
Chib, JASA 1993). Cut points drawn given z hardly move when there are many rows, so they are drawn
given eta alone, z integrated out, and then z given them (as Cowles, Statistics and Computing 1996,
does): Metropolis-Hastings with a proposal that is close to the conditional itself.

Cut points are drawn by `fm.cut_points`, and noise may differ between levels: `LevelNoise`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, ndtri

from fm.arrays import FloatArray
from fm.block_kernel import Residual
from fm.cut_points import TruncatedNormal, between_cut_points, draw_cut_points
from fm.design import Block
from fm.model import noise_rows
from fm.moves import slice_step
from fm.priors import Prior

NU = 2.0, 0.1
"""Shape and rate of the prior of nu."""


class LevelNoise:
    """Noise whose precision differs between the levels of fields, as that of users may.

        noise of row i ~ N(0, 1 / (alpha weight_i prod_f lambda_fg)),   g the row's level in field f
        lambda_fg ~ Gamma(nu_f / 2, nu_f / 2),       nu_f ~ Gamma(2, 0.1)

    With nu drawn as well, levels are as alike as the data say. (The prior of nu is that of Juarez &
    Steel, J. Business & Economic Statistics 2010.) Rows of unknown level have one level more; a
    level without rows has a draw from the prior, so that what is predicted of it is right as well.

    fields : the blocks of a design that noise differs by.
    row_weight : (n_rows,) or None for 1; a row of weight 2 counts as two.
    precision : (sum of n_levels + 1,) lambda, field after field, the unknown level of each last.
    nu : (n_fields,)
    """

    state = ("precision", "nu")

    def __init__(self, fields: Sequence[Block], row_weight: FloatArray | None) -> None:
        self.row_weight = row_weight
        self._rows = list(noise_rows(fields).T)
        stops = np.cumsum([field.n_levels + 1 for field in fields])
        starts = np.append(0, stops[:-1])
        self._fields = [slice(*ends) for ends in zip(starts, stops, strict=True)]
        self.precision: FloatArray = np.ones(stops[-1])
        self._count = np.concatenate([self._sums(f, row_weight) for f in range(len(fields))])
        self.nu: FloatArray = np.full(len(fields), NU[0] / NU[1])

    def weight(self, without: int | None = None) -> FloatArray:
        """Return lambda of each row, (n_rows,), times its weight; `without` that of one field."""
        total = np.ones(len(self._rows[0])) if self.row_weight is None else self.row_weight
        for f, rows in enumerate(self._rows):
            if f != without:
                total = self.precision.take(rows) * total
        return total

    def draw(self, e: FloatArray, alpha: float, rng: np.random.Generator) -> None:
        """Draw each field's nu given the lambda of levels with rows, and every lambda given nu.

        e : (n_rows,) residuals, whose precision is alpha times `weight`.
        """
        self.nu, self.precision = self.nu.copy(), self.precision.copy()
        for f, field in enumerate(self._fields):
            nu = self.nu[f] = self._draw_nu(f, rng)
            squares = alpha * self._sums(f, self.weight(without=f) * (e * e))
            self.precision[field] = rng.gamma((nu + self._count[field]) / 2) * 2 / (nu + squares)

    def draw_scales(
        self, alpha: float, shape: float, rate: float, rng: np.random.Generator
    ) -> float:
        """Multiply alpha by what divides the lambda of a field, which changes no row's noise.

        shape, rate : of the prior of alpha, a Gamma.
        """
        self.precision = self.precision.copy()
        for f, field in enumerate(self._fields):
            c = self._draw_scale(f, shape, rate * alpha, rng)
            self.precision[field] /= c
            alpha *= c
        return alpha

    def _draw_nu(self, f: int, rng: np.random.Generator) -> float:
        seen, nu = self._seen(f), float(self.nu[f])
        n, gap = len(seen), float(np.sum(np.log(seen) - seen))

        def log_density(t: float) -> float:
            half = nu * np.exp(t) / 2
            levels = n * (half * np.log(half) - gammaln(half)) + half * gap
            return float(levels + NU[0] * t - NU[1] * 2 * half)

        return nu * float(np.exp(slice_step(log_density, rng)))

    def _draw_scale(self, f: int, shape: float, rate: float, rng: np.random.Generator) -> float:
        seen = self._seen(f)
        half, total = self.nu[f] / 2, float(seen.sum())

        def log_density(t: float) -> float:
            c = np.exp(t)
            return float((shape - half * len(seen)) * t - rate * c - half * total / c)

        return float(np.exp(slice_step(log_density, rng)))

    def _seen(self, f: int) -> FloatArray:
        """Return lambda of the levels that rows have."""
        field = self._fields[f]
        return self.precision[field][self._count[field] > 0]

    def _sums(self, f: int, x: FloatArray | None) -> FloatArray:
        """Return the sum of x, or the number of rows, of each level of a field."""
        field = self._fields[f]
        sums = np.bincount(self._rows[f] - field.start, x, field.stop - field.start)
        return sums.astype(np.float64, copy=False)


class Gaussian:
    """y ~ N(eta, 1 / (alpha weight)); a row of weight 2 counts as two rows.

    target : (n_rows,) what the blocks are to explain.
    w0, alpha, cut_points : as in `fm.gibbs.Draw`.
    train_mse : of the last draw.
    """

    state = ("w0", "alpha")
    expands = False

    def __init__(
        self,
        y: FloatArray,
        weight: FloatArray | None,
        prior: Prior,
        level_noise: LevelNoise | None = None,
    ) -> None:
        self._n = len(y) if weight is None else weight.sum()
        self._prior, self._weight, self._level_noise = prior, weight, level_noise
        self.target = y
        self.w0 = prior.center
        self.alpha = 1 / prior.unit**2
        self.cut_points: FloatArray = np.empty(0)
        self.train_mse = np.nan

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw w0 and alpha given what the blocks leave of the target."""
        total, squares = residual.sums()
        n = self._n if self._level_noise is None else self._level_noise.weight().sum()
        step = self._draw_w0(total, n, rng)
        loss = squares - 2 * step * total + step**2 * n
        shape, rate = self._prior.noise
        rate *= self._prior.unit**2
        self.alpha = rng.gamma(shape + self._n / 2) / (rate + loss / 2)
        if self._level_noise is not None:
            self.alpha = self._level_noise.draw_scales(self.alpha, shape, rate, rng)
            e = residual.vector() - step
            self._level_noise.draw(e, self.alpha, rng)
            loss = np.dot(e if self._weight is None else self._weight * e, e)
        self.train_mse = loss / self._n

    def _draw_w0(self, total: float, n: float, rng: np.random.Generator) -> float:
        """Draw w0 and return its change, given sums of residuals and of weights."""
        precision, slope = self.shift_prior()
        precision += self.alpha * n
        step = (self.alpha * total - slope) / precision + rng.standard_normal() / np.sqrt(precision)
        self.w0 += step
        return step

    def shift(self, c: float) -> None:
        """Leave c of the general level to a group of columns."""
        self.w0 -= c

    def shift_prior(self) -> tuple[float, float]:
        """Return (p, g) of the log prior of `shift(c)`, which is const + g c - p c^2 / 2."""
        precision = self._prior.location / self._prior.unit**2
        return precision, precision * (self.w0 - self._prior.center)


class Latent(Gaussian):
    """y in 0..n_classes - 1 is the number of cut points below z = eta + noise of precision 1."""

    def __init__(
        self,
        y: FloatArray,
        weight: FloatArray | None,
        cut_points: FloatArray,
        prior: Prior,
        level_noise: LevelNoise | None = None,
    ) -> None:
        super().__init__(y, weight, prior, level_noise)
        self._order = np.argsort(y, kind="stable")
        self._classes = y[self._order]
        self._copies = None if weight is None else self._by_class(weight, cut_points)
        self.target = np.empty(len(y))
        noise = between_cut_points(cut_points, self._by_class(np.zeros(len(y)), cut_points))
        self.target[self._order] = np.concatenate([rows.mean() for rows in noise])

    def _by_class(self, eta: FloatArray, cut_points: FloatArray) -> list[FloatArray]:
        """Split eta by class; a class may have no rows."""
        return np.split(
            eta[self._order], np.searchsorted(self._classes, np.arange(1, len(cut_points) + 1))
        )

    def _draw_target(
        self,
        eta: list[FloatArray],
        noise: list[TruncatedNormal],
        rng: np.random.Generator,
        roots: list[FloatArray] | None = None,
    ) -> float:
        """Draw z = eta + noise / roots, and return the weighted sum of the noise."""
        if self._copies is None:
            drawn = [rows.draw(rng) for rows in noise]
            total = sum(rows.sum() for rows in drawn)
        else:
            pairs = list(zip(noise, self._copies, strict=True))
            drawn = [rows.draw_means(weight, rng) for rows, weight in pairs]
            total = sum(np.dot(w, rows) for w, rows in zip(self._copies, drawn, strict=True))
        self.target = np.empty(len(self._order))
        if roots is not None:
            drawn = [rows / root for rows, root in zip(drawn, roots, strict=True)]
        self.target[self._order] = np.concatenate(eta) + np.concatenate(drawn)
        return total


class Probit(Latent):
    """P(y = 1) = Phi(eta), for y in {0, 1}."""

    state = ("w0", "target")

    def __init__(self, y: FloatArray, weight: FloatArray | None, prior: Prior) -> None:
        super().__init__(y, weight, np.zeros(1), prior)
        self.expands = weight is None

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw z and w0."""
        zero = np.zeros(1)
        eta = self._by_class(self.target - residual.vector(), zero)
        total = self._draw_target(eta, between_cut_points(zero, eta), rng)
        self._draw_w0(total, self._n, rng)

    def rescale(self, c: float) -> None:
        """Multiply the latent targets and w0 by c."""
        self.target = self.target * c
        self.w0 *= c


class OrderedProbit(Latent):
    """P(y <= c) = Phi(cut_points[c] - eta), for y in 0..n_classes - 1, each class present."""

    state = ("cut_points", "target")

    def __init__(
        self,
        y: FloatArray,
        weight: FloatArray | None,
        prior: Prior,
        level_noise: LevelNoise | None = None,
    ) -> None:
        shares = np.cumsum(np.bincount(y.astype(np.intp), weight))
        cut_points = ndtri(shares[:-1] / shares[-1])
        super().__init__(y, weight, cut_points, prior, level_noise)
        self.cut_points = cut_points

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw the cut points, and z given these."""
        prediction = self.target - residual.vector()
        eta = self._by_class(prediction, self.cut_points)
        noise = self._level_noise
        roots = None if noise is None else self._by_class(np.sqrt(noise.weight()), self.cut_points)
        self.cut_points, z = draw_cut_points(
            self.cut_points, eta, self._copies, self._prior.location, rng, roots
        )
        self._draw_target(eta, z, rng, roots)
        if noise is not None:
            noise.draw(self.target - prediction, self.alpha, rng)

    def shift(self, c: float) -> None:
        """Move the cut points by c, and the latent targets with them."""
        self.cut_points = self.cut_points + c
        self.target = self.target + c

    def shift_prior(self) -> tuple[float, float]:
        """Return (p, g) as that of `Gaussian` does."""
        precision = self._prior.location
        return precision * len(self.cut_points), -precision * self.cut_points.sum()
