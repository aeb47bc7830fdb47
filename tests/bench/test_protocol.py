"""What a sweep asks for, batch by batch, without running anything."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bench.errors import UserError
from bench.sweep import plan
from bench.sweep.protocol import jobs_at_most, protocol
from bench.sweep.trials import Trial, Trials, composed_job
from bench.tracking import Record, flatten

pytestmark = pytest.mark.slow

TINY = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]


def record(
    trial: Trial, error: float, curve: dict[int, float] | None = None, status: str = "FINISHED"
) -> Record:
    curves = {"validation_mse": curve} if curve else {}
    digest = trial.digests[-1] if status == "PRUNED" else trial.digest
    tags = {"digest": digest}
    return Record(
        "",
        trial.name,
        trial.names["model"],
        status,
        None,
        {},
        {"validation/mse_clipped": error},
        tags,
        curves,
    )


def gone_through(overrides: list[str], error, data: list[str] = TINY) -> list[list[Trial]]:
    """The batches of a protocol whose jobs end with the records that `error` gives."""
    steps, records, batches = protocol(plan([*data, *overrides], multirun=True)), {}, []
    batch = next(steps)
    while True:
        batches.append(batch)
        records |= {r.digest: r for r in map(error, batch) if r is not None}
        try:
            batch = steps.send(records)
        except StopIteration:
            return batches


def test_trials_are_what_hydra_composes() -> None:
    overrides = ["model=fm_sgd", "model.l2=1,1e-05", "seed=0,3"]
    planned = plan([*TINY, *overrides], multirun=True)
    for trial in Trials(planned.combinations[0], ()).product(planned.axes, {}, test=True):
        values = [f"model.l2={trial.config['model']['l2']}", f"seed={trial.config['seed']}"]
        (cfg,) = plan([*trial.overrides, *values], multirun=False).jobs
        job = composed_job(cfg)
        assert job.digest == trial.digest
        assert job.model.random_state == job.config["seed"]


def test_a_grid_is_one_batch_and_tested() -> None:
    (batch,) = gone_through(["model=linear,quadratic", "model.l2=1,2"], lambda t: record(t, 1.0))
    assert len({t.digest for t in batch}) == 4 and all(t.config["test"] for t in batch)


def test_the_best_mean_is_tested_once_a_repeat_and_nothing_else_is() -> None:
    errors = {"seed=0 l2=1": 1.0, "seed=1 l2=1": 3.0, "seed=0 l2=2": 1.9, "seed=1 l2=2": 1.8}
    chosen, tested = gone_through(
        ["model=linear", "model.l2=1,2", "seeds=2"],
        lambda t: record(t, errors.get(t.name[7:-12], 0.0)),
    )
    assert all(not t.config["test"] for t in chosen) and len(chosen) == 4
    assert [t.name for t in tested] == [
        "linear seed=0 l2=2 (simulated)",
        "linear seed=1 l2=2 (simulated)",
    ]
    assert all(t.config["test"] for t in tested)


def test_folds_repeat_and_a_configuration_that_failed_in_one_is_not_chosen() -> None:
    def error(trial: Trial) -> Record | None:
        if "l2=1" in trial.name and "fold=2" in trial.name:
            return None
        return record(trial, 1.0 if "l2=1" in trial.name else 2.0)

    chosen, tested = gone_through(["model=linear", "model.l2=1,4", "folds=3"], error)
    assert len(chosen) == 6 and len(tested) == 3 and all("l2=4" in t.name for t in tested)


def test_each_model_and_feature_set_is_chosen_for_itself() -> None:
    batches = gone_through(
        ["model=linear,fm_als", "model.l2=1,2", "select=true"], lambda t: record(t, 1.0)
    )
    assert [[t.names["model"] for t in batch] for batch in batches] == [
        ["linear"] * 2,
        ["linear"],
        ["fm_als"] * 2,
        ["fm_als"],
    ]


def test_each_data_set_is_chosen_on_by_itself(tmp_path: Path) -> None:
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for add, path in enumerate(files):
        rows = [f"{u},{i},{1 + (u * i + add) % 5}" for u in range(9) for i in range(8)]
        path.write_text("\n".join(["user,item,rating", *rows]))
    data = ["data=file", f"data.path={files[0]},{files[1]}", "split=random"]
    batches = gone_through(
        ["model=linear", "model.l2=1,2", "select=true"], lambda t: record(t, 1.0), data
    )
    assert [len({t.data for t in batch}) for batch in batches] == [1, 1, 1, 1]
    assert len({batch[0].data for batch in batches if batch[0].config["test"]}) == 2


def test_a_search_spends_its_budget_then_tests_the_best() -> None:
    def error(trial: Trial) -> Record:
        l2 = trial.config["model"]["l2"]
        return record(trial, np.log10(l2 / 5) ** 2)

    command = ["model=linear", "search=default", "budget=18", "seeds=2"]
    batches = gone_through(command, error)
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 4, 2]
    assert jobs_at_most(plan([*TINY, *command], multirun=True)) == 38
    assert gone_through(command, error) == batches
    larger = gone_through([*command[:2], "budget=22", "seeds=2"], error)
    assert [[t.digest for t in batch] for batch in larger[:4]] == [
        [t.digest for t in b] for b in batches[:4]
    ]


def test_a_search_begins_with_the_default_configuration() -> None:
    command = ["model=fm_als", "search=default", "budget=4"]
    planned = plan([*TINY, *command], multirun=True)
    batch = next(protocol(planned))
    (cfg,) = planned.jobs
    assert batch[0].config["model"]["l2"] == cfg.model.l2["rating"] == 10
    assert all(
        OmegaConf.select(cfg, key)["rating"] == flatten(batch[0].config)[key]
        for key in planned.varied_all
    )
    narrow = plan([*TINY, *command, "model.l2=interval(90,100)"], multirun=True)
    assert all(t.config["model"]["l2"] >= 90 for t in next(protocol(narrow)))


def test_a_search_begins_with_penalties_that_the_model_learns() -> None:
    clicks = ["data=planted_clicks", "data.n_rows=200", "data.n_fields=2", "split=random"]
    command = [*clicks, "model=fm_als", "search=default", "budget=4"]
    first, *others = next(protocol(plan(command, multirun=True)))
    assert first.config["model"]["l2"] is None and first.config["model"]["l2_w"] is None
    assert len(others) == 3 and all(1 <= t.config["model"]["l2"] <= 100 for t in others)
    narrow = next(protocol(plan([*command, "model.l2=interval(90,100)"], multirun=True)))
    assert len(narrow) == 4 and all(t.config["model"]["l2"] >= 90 for t in narrow)


def test_a_search_may_judge_by_fewer_seeds_than_it_tests_with() -> None:
    command = ["model=linear,nmf", "search=random", "budget=9", "seeds=5", "search.seeds=2"]
    batches = gone_through(command, lambda t: record(t, float(t.digest[:6] < "8")))
    assert [len(batch) for batch in batches] == [16, 2, 5] * 2
    assert {t.config["seed"] for t in batches[0]} == {0, 1} and {
        t.config["seed"] for t in batches[2]
    } == set(range(5))
    assert jobs_at_most(plan([*TINY, *command], multirun=True)) == sum(map(len, batches))


def test_a_search_gives_up_what_is_above_the_others_and_goes_through_the_same_way_again() -> None:
    def curve_of(trial: Trial) -> dict[int, float]:
        l2 = trial.config["model"]["l2"]
        return {epoch: 1 + l2 / epoch for epoch in range(1, 20)}

    def with_pruning(trial: Trial) -> Record:
        curve = curve_of(trial)
        cut = next((e for e, limit in trial.limits.items() if curve[e] > limit), None)
        if cut is None:
            return record(trial, curve[19], curve)
        return record(trial, 0.0, {e: v for e, v in curve.items() if e <= cut}, "PRUNED")

    command = ["model=fm_als", "search=default", "budget=24", "search.startup=4", "model.l2_w=5"]
    pruned = gone_through(command, with_pruning)
    assert any(t.limits for batch in pruned for t in batch)
    # The same when everything has been computed in full before.
    assert gone_through(command, lambda t: record(t, curve_of(t)[19], curve_of(t))) == pruned
    last = pruned[-2][0]
    assert len(set(last.digests)) == 2 and last.digests[0] == last.digest


def test_ranges_on_the_command_line_are_searched() -> None:
    planned = plan(
        ["model=linear", "search=random", "model.l2=tag(log,interval(1,10))"], multirun=True
    )
    (found,) = planned.space(planned.combinations[0]).values()
    assert (found.low, found.high, found.log) == (1, 10, True)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=3", "seed=0,1"], "seed is set by seeds=3"),
        (["seeds=0"], "seeds must be at least 1"),
        (["folds=1"], "folds must be at least 2"),
        (["model=linear", "model.l2=interval(1,2)"], "is a range: add search=default"),
        (["model=linear", "search=default", "~space"], "has no search space"),
        (["model=linear", "search=default", "space.l2.low=-1"], "above 0"),
        (["search=default", "budget=0"], "budget must be at least 1"),
        (["search=default", "search.seeds=0"], "search.seeds must be at least 1"),
        (["job_seconds=0"], "job_seconds must be"),
    ],
)
def test_wrong_sweeps_get_a_sentence(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        plan(overrides, multirun=True)
    assert said in str(error.value) and "\n" not in str(error.value)
