import numpy as np

from bench.intervals import grouped_gap, paired_gap


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


def test_groups_of_one_row_are_rows() -> None:
    rng = np.random.default_rng(3)
    errors, reference = rng.exponential(1, (2, 500))
    grouped = grouped_gap(errors, reference, np.arange(500), n_resamples=20_000)
    np.testing.assert_allclose(
        grouped, paired_gap(errors, reference, n_resamples=20_000), atol=4e-3
    )


def test_rows_that_are_alike_count_once() -> None:
    """Each of 2,000 errors ten times over: the interval is that of 2,000 rows, not of 20,000."""
    difference = np.random.default_rng(4).normal(0.1, 1, 2000)
    groups = np.repeat(np.arange(2000), 10)
    grouped = grouped_gap(np.repeat(difference, 10), np.zeros(20_000), groups, n_resamples=5000)
    error = difference.std(ddof=1) / 2000**0.5
    np.testing.assert_allclose(
        grouped[1:],
        [difference.mean() - 1.96 * error, difference.mean() + 1.96 * error],
        atol=0.15 * error,
    )
