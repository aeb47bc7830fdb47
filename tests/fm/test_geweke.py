"""Geweke's joint distribution test (JASA 2004): parameters and data drawn together in two ways.

Either all from the prior and the likelihood, or by turns the data given the parameters and the
parameters by a Gibbs sweep given the data. If every step of the sweep is right, both have the same
distribution.
"""

from functools import cache

import numpy as np
import pytest
from scipy import sparse, stats

from fm import chain as chain_module
from fm.chain import GibbsState
from fm.design import Block, Design
from fm.diagnostics import effective_sample_size
from fm.gibbs import gibbs
from fm.likelihoods import NU
from fm.model import Coefficients, noise_rows, predict
from fm.priors import Prior, flat
from fm.row_kernel import RowKernel
from fm.rows import rows_of

pytestmark = pytest.mark.slow

K = 2
PRIOR = Prior(
    center=0.5,
    unit=1.3,
    location=2.0,
    noise=(6.0, 5.0),
    strength=2.0,
    df=9.0,
    scatter=8.0,
    side=(6.0, 2.0),
)
LATENT_PRIOR = Prior(location=0.5, strength=2.0, df=9.0, scatter=8.0, side=(6.0, 2.0))
LEVELS = [np.arange(14) % 4, np.arange(14) % 3]
SIDE = sparse.csr_array(np.array([[1.0, 0.2], [0, 1], [0.5, -1], [0, 0]]))
DESIGN = Design((Block("user", LEVELS[0], 4, SIDE), Block("item", LEVELS[1], 3)))
WITH_LINEAR = Design((*DESIGN, Block("session", np.arange(14) // 3, 5, linear=True)))
SPARSE = sparse.csr_array(
    np.random.default_rng(0).normal(size=(14, 3)) * (np.arange(42).reshape(14, 3) % 4 > 0)
)
SPARSE = SPARSE / np.sqrt(SPARSE.power(2).sum(axis=0) / (SPARSE != 0).sum(axis=0))
SPARSE = sparse.csr_array(SPARSE)  # columns in their own units, as the state has them


def normal_wishart(rng, prior, k):
    scale = np.diag([prior.unit**2] + [prior.unit] * k)
    drawn = stats.wishart.rvs(k + prior.df, np.linalg.inv(prior.scatter * scale), random_state=rng)
    precision = np.reshape(drawn, (k + 1, k + 1))
    root = np.linalg.inv(np.linalg.cholesky(precision)).T
    return root @ rng.standard_normal(k + 1) / np.sqrt(prior.strength), precision, root


def from_the_prior(rng, X, prior, likelihood, noise_by):
    """The arrays of a `GibbsState`, all but the latent target."""
    arrays, theta = {}, []
    widths = [0 if b.linear else K for b in X] if isinstance(X, Design) else [K]
    sizes = [block.n_levels for block in X] if isinstance(X, Design) else [X.shape[1]]
    for g, (size, k) in enumerate(zip(sizes, widths, strict=True)):
        mean, precision, root = normal_wishart(rng, prior, k)
        arrays |= {f"mean{g}": mean, f"precision{g}": precision}
        center = mean
        if isinstance(X, Design) and X.blocks[g].side_features is not None:
            strength = rng.gamma(prior.side[0]) / prior.side[1]
            B = rng.standard_normal((2, K + 1)) @ root.T / np.sqrt(strength)
            arrays |= {f"strength{g}": strength, f"B{g}": B}
            center = mean + SIDE @ B
        theta.append(center + rng.standard_normal((size, k + 1)) @ root.T)
    if 0 in widths:
        arrays["linear0"] = theta.pop()
    arrays["theta"] = np.concatenate(theta)
    if likelihood == "ordered":
        arrays["cut_points"] = np.sort(rng.standard_normal(2)) / np.sqrt(prior.location)
    else:
        arrays["w0"] = prior.center + prior.unit * rng.standard_normal() / np.sqrt(prior.location)
    if likelihood == "gaussian":
        arrays["alpha"] = rng.gamma(prior.noise[0]) / (prior.noise[1] * prior.unit**2)
    if noise_by:
        nu = rng.gamma(NU[0], size=len(noise_by)) / NU[1]
        half = np.repeat(nu / 2, [X.block(name).n_levels + 1 for name in noise_by])
        arrays |= {"noise_nu": nu, "noise_precision": rng.gamma(half) / half}
    return {name: np.asarray(x) for name, x in arrays.items()}


def observe(rng, X, arrays, likelihood, noise_by):
    """y given the parameters; with a latent target, that too is drawn."""
    theta = arrays["theta"]
    if isinstance(X, Design):
        theta = np.concatenate([flat(theta[:4], arrays["B0"], SIDE), theta[4:]])
    w = np.concatenate([theta[:, 0], arrays.get("linear0", np.empty((0, 1)))[:, 0]])
    eta = predict(X, Coefficients(float(arrays.get("w0", 0.0)), w, theta[:, 1:]))
    noise = rng.standard_normal(len(eta))
    if noise_by:
        rows = noise_rows([X.block(name) for name in noise_by])
        noise /= np.sqrt(arrays["noise_precision"][rows].prod(axis=1))
    if likelihood == "gaussian":
        return eta + noise / np.sqrt(arrays["alpha"])
    arrays["target"] = eta + noise
    if likelihood == "probit":
        return (arrays["target"] > 0).astype(float)
    return np.searchsorted(arrays["cut_points"], arrays["target"]).astype(float)


def statistics(arrays):
    """First and second moments of everything drawn, each array's entries pooled."""
    found = []
    for name, x in sorted(arrays.items()):
        if name in RowKernel.state:
            continue
        if name.startswith("precision"):
            x = np.linalg.inv(x).ravel()[[0, 1, K + 2] if x.size > 1 else [0]]
        elif name.startswith(("alpha", "strength", "noise_nu")):
            x = np.log(x)
        elif name == "noise_precision":  # without moments where nu is small
            x = x / (1 + x)
        found += [np.mean(x), np.mean(np.square(x))]
        if name == "theta":
            found += [*x.mean(axis=0), np.mean(x[:, 0] * x[:, 1] * x[:, 2] ** 2)]
    return found


@pytest.mark.parametrize(
    ("X", "likelihood", "noise_by"),
    [
        (DESIGN, "gaussian", ()),
        (DESIGN, "probit", ()),
        (WITH_LINEAR, "ordered", ()),
        (SPARSE, "gaussian", ()),
        (SPARSE, "probit", ()),
        (WITH_LINEAR, "gaussian", ("user", "item")),
        (DESIGN, "ordered", ("item",)),
    ],
    ids=[
        "gaussian",
        "probit",
        "ordered with a linear block",
        "matrix",
        "matrix, probit",
        "noise by user and item, rows",
        "ordered, noise by item",
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_joint_distribution(X, likelihood, noise_by, monkeypatch):
    if len(noise_by) == 2:  # by the row kernel
        monkeypatch.setattr("fm.rows.MAX_BLOCKS", 1)
    # Rows are prepared once: all that they keep comes from the state before each sweep.
    prepared = cache(lambda k, dtype: rows_of(X, None, None, k=k, dtype=dtype))
    monkeypatch.setattr(chain_module, "rows_of", lambda *_, **given: prepared(**given))
    prior = PRIOR if likelihood == "gaussian" else LATENT_PRIOR
    rng, n = np.random.default_rng(1), 1500 if noise_by else 3000
    independent = []
    for _ in range(n):
        arrays = from_the_prior(rng, X, prior, likelihood, noise_by)
        observe(rng, X, arrays, likelihood, noise_by)
        independent.append(statistics(arrays))
    chain, state = [], GibbsState(arrays, rng.bit_generator.state, 0)
    for _ in range(n):
        y = observe(rng, X, state.arrays, likelihood, noise_by)
        start = GibbsState(state.arrays, rng.bit_generator.state, 0)
        state = gibbs(
            X,
            y,
            k=K,
            n_iter=1,
            rng=None,
            burn_in=1,
            likelihood=likelihood,
            noise_by=noise_by,
            prior=prior,
            start=start,
        ).state
        rng.bit_generator.state = state.generator
        chain.append(statistics(state.arrays))
    if not isinstance(X, Design):  # the sums that all sweeps kept are those of the last theta
        theta = state.arrays["theta"]
        np.testing.assert_allclose(state.arrays["q"], (X @ theta[:, 1:]).T, atol=1e-8)
        expected = predict(X, Coefficients(0.0, theta[:, 0], theta[:, 1:]))
        np.testing.assert_allclose(state.arrays["prediction"], expected, atol=1e-8)
    for a, b in zip(np.transpose(independent), np.transpose(chain), strict=True):
        error = np.hypot(a.std() / np.sqrt(n), b.std() / np.sqrt(effective_sample_size(b)))
        assert abs(a.mean() - b.mean()) < 4.5 * error
