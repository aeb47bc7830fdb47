import numpy as np
import pytest

from fm.diagnostics import effective_sample_size, r_hat


def autoregressive(rng, phi, shape):
    """Stationary AR(1) of unit variance, whose integrated autocorrelation time is (1 + phi) / (1 -
    phi).
    """
    x = rng.standard_normal(shape)
    for t in range(1, shape[1]):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * x[:, t]
    return x


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregressive_chain(phi):
    n = 4 * 20_000
    x = autoregressive(np.random.default_rng(1), phi, (4, n // 4))
    assert effective_sample_size(x) == pytest.approx(n * (1 - phi) / (1 + phi), rel=0.1)


def test_effective_sample_size_sees_chains_that_disagree():
    rng = np.random.default_rng(2)
    assert effective_sample_size(rng.standard_normal((4, 500)) + np.arange(4)[:, None]) < 10


def test_r_hat_is_one_for_independent_draws():
    assert r_hat(np.random.default_rng(3).standard_normal((4, 1000))) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "distort",
    [
        lambda x: x + [[0], [0], [0], [1]],
        lambda x: x * [[1], [1], [1], [3]],
        lambda x: x + np.linspace(0, 2, x.shape[1]),
    ],
    ids=["location", "spread", "trend"],
)
def test_r_hat_sees_what_has_not_converged(distort):
    assert r_hat(distort(np.random.default_rng(4).standard_normal((4, 1000)))) > 1.05


def test_r_hat_does_not_depend_on_the_scale_of_the_trace():
    x = np.random.default_rng(5).standard_normal((2, 100))
    assert r_hat(np.exp(x)[:, :50]) == pytest.approx(r_hat(np.exp(3 * x)[:, :50]), abs=0.02)


def test_one_chain_is_a_row():
    x = np.random.default_rng(6).standard_normal(100)
    assert r_hat(x) == r_hat(x[None])
    assert effective_sample_size(x) == effective_sample_size(x[None])


@pytest.mark.parametrize("measure", [r_hat, effective_sample_size])
def test_too_few_or_constant_draws(measure):
    with pytest.raises(ValueError, match="at least 4"):
        measure([1.0, 2.0, 3.0])
    assert np.isnan(measure(np.ones((2, 10))))
