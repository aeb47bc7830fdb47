"""Proposals: reproducible, within their ranges, better where there is something to learn."""

import math

import pytest

from bench.errors import UserError
from bench.sweep.search import RUNGS, Range, Study, Worth, exceeds, ranges

SPACE = {
    "rate": Range(1e-3, 1.0, log=True),
    "k": Range(2, 64, log=True, integer=True),
    "x": Range(-1, 1),
}


def bowl(values: dict[str, float]) -> float:
    """Lowest at rate = 0.03, x = 0.5."""
    return math.log10(values["rate"] / 0.03) ** 2 + (values["x"] - 0.5) ** 2


def searched(
    sampler: str, n: int, batch: int = 4, space: dict[str, Range] = SPACE
) -> list[dict[str, float]]:
    study, proposed = Study(space, sampler=sampler, seed=0, startup=8, prune=False), []
    while len(proposed) < n:
        asked = study.ask(batch)
        study.tell([Worth(bowl(values)) for values in asked])
        proposed += asked
    return proposed


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_same_results_lead_to_same_proposals_and_a_larger_budget_goes_on(sampler: str) -> None:
    first = searched(sampler, 20)
    assert searched(sampler, 32)[:20] == first
    assert all(
        1e-3 <= v["rate"] <= 1 and 2 <= v["k"] <= 64 and isinstance(v["k"], int) for v in first
    )


def test_logarithmic_ranges_are_drawn_uniformly_in_the_logarithm() -> None:
    rates = [values["rate"] for values in searched("random", 400)]
    below = sum(rate < 10**-1.5 for rate in rates) / 400
    assert abs(below - 0.5) < 0.1


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_configuration_is_proposed_twice(sampler: str) -> None:
    study = Study({"k": Range(1, 5, integer=True)}, sampler=sampler, seed=0, startup=2, prune=False)
    found = []
    for n_new in (3, 2, 0):
        asked = [values["k"] for values in study.ask(3)]
        study.tell([Worth(float(k)) for k in asked])
        assert len(asked) == n_new
        found += asked
    assert sorted(found) == [1, 2, 3, 4, 5]


def test_tpe_learns() -> None:
    found = {name: min(map(bowl, searched(name, 60))) for name in ("tpe", "random")}
    assert found["tpe"] < found["random"]


def test_what_failed_or_was_given_up_does_not_end_a_study() -> None:
    study = Study(SPACE, sampler="tpe", seed=0, startup=2, prune=True)
    for _ in range(5):
        study.ask(3)
        study.tell(
            [
                Worth(1.0, curves=[{1: 2.0}]),
                Worth(None),
                Worth(None, pruned=True, curves=[{1: 3.0}]),
            ]
        )
    assert len(study.ask(2)) == 2


def curve(*values: float) -> dict[int, float]:
    return {epoch: value for epoch, value in enumerate(values, 1)}


def test_limits_are_medians_of_the_best_so_far_and_wait_for_enough_fits() -> None:
    study = Study(SPACE, sampler="random", seed=0, startup=3, prune=True)
    study.ask(2)
    study.tell(
        [Worth(1.0, curves=[curve(9, 5, 6, 7, 1, 1)]), Worth(2.0, curves=[curve(9, 9, 9, 3, 2, 2)])]
    )
    assert study.limits(1) == [{}]
    study.ask(1)
    study.tell([Worth(3.0, curves=[curve(8, 8, 8, 8, 8, 8)])])
    assert study.limits(1) == [{4: 5.0}]
    assert RUNGS[0] == 4


def test_a_curve_exceeds_a_limit_by_its_best_so_far() -> None:
    limits = {4: 5.0, 8: 4.0}
    assert exceeds(curve(6, 4.9, 7, 7), limits) is None
    assert exceeds(curve(6, 6, 6, 5.1), limits) == 4
    assert exceeds(curve(6, 6, 6), limits) is None  # ended before
    assert exceeds(curve(6, 5, 5, 5, 5, 5, 5, 4.5), limits) == 8


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"low": 2, "high": 1}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({}, "l2"),
    ],
)
def test_bad_ranges_get_a_sentence(parts: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ranges({"model.l2": parts})
