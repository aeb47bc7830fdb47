import numpy as np
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from bench.metrics import auc
from bench.report.paired_gaps import auc_placements, delong_gap, holm, paired_gap, paired_p


def test_interval_is_that_of_the_central_limit_theorem() -> None:
    rng = np.random.default_rng(0)
    shared, extra = rng.exponential(1, 4000), rng.normal(0.05, 0.4, 4000)
    gap, low, high = paired_gap(shared + extra, shared)
    error = extra.std(ddof=1) / 4000**0.5
    assert gap == np.mean((shared + extra) - shared)
    np.testing.assert_allclose(
        [low, high], [gap - 1.96 * error, gap + 1.96 * error], atol=0.15 * error
    )


def test_pairing_cancels_what_both_find_hard() -> None:
    rng = np.random.default_rng(1)
    shared = 100 * rng.exponential(1, 1000)
    _, low, high = paired_gap(shared + rng.normal(0, 0.01, 1000), shared)
    assert high - low < 0.01


def test_equal_errors_leave_no_doubt() -> None:
    errors = np.arange(10.0)
    assert paired_gap(errors, errors) == (0.0, 0.0, 0.0)


def test_coverage_is_what_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        difference = rng.gamma(2, 1, 300) - 2
        _, low, high = paired_gap(difference, np.zeros(300), n_resamples=500)
        hits += low <= 0 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_delong_is_the_bootstrap_over_rows() -> None:
    rng = np.random.default_rng(5)
    y = rng.random(1500) < 0.3
    good, poor = (rng.normal(d * y, 1).round(2) for d in (1.5, 1.2))
    placed = [auc_placements(y, score) for score in (good, poor)]
    for score, (of_ones, of_zeros) in zip((good, poor), placed, strict=True):
        np.testing.assert_allclose([of_ones.mean(), of_zeros.mean()], roc_auc_score(y, score))
    gap, low, high = delong_gap(*placed)
    resampled = []
    for _ in range(800):
        rows = rng.integers(0, 1500, 1500)
        resampled.append(auc(y[rows], good[rows]) - auc(y[rows], poor[rows]))
    np.testing.assert_allclose([low, high], np.quantile(resampled, [0.025, 0.975]), atol=5e-3)
    np.testing.assert_allclose(gap, roc_auc_score(y, good) - roc_auc_score(y, poor))


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]) == []


def test_p_value_is_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(6)
    p = [paired_p(*rng.normal(0, 1, (2, 200))) for _ in range(400)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert paired_p(np.ones(3), np.ones(3)) == 1
    assert paired_p(np.ones(3), np.zeros(3)) == 0
