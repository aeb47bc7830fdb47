"""The jobs that a sweep runs, batch after batch, each batch chosen by the results before it.

    a grid                        every job, tested
    select, seeds, folds, search  jobs that never see test; of each system (model, features,
                                  data) the configuration with the lowest mean validation error
                                  over its repeats (seeds, folds), tested once a repeat; a search
                                  may judge each by fewer seeds than the chosen one is tested with

A protocol is a generator: it yields a batch of trials and is sent the records of those that ended,
by digest.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from bench.identity import digest
from bench.sweep.compose import REPEATS, Plan
from bench.sweep.search import Study, Worth, exceeds
from bench.sweep.trials import Trial, Trials
from bench.tracking import Record

Records = Mapping[str, Record]
"""Of trials, by digest."""
Protocol = Generator[list[Trial], Records, None]


def protocol(plan: Plan) -> Protocol:
    """Return the protocol that a plan asks for."""
    sources = [Trials(combination, plan.varied_all) for combination in plan.combinations]
    return _selected(plan, sources) if plan.selects else _grid(plan, sources)


def _grid(plan: Plan, sources: Sequence[Trials]) -> Protocol:
    yield [t for source in sources for t in source.product(plan.axes, {}, test=plan.jobs[0].test)]


def _selected(plan: Plan, sources: Sequence[Trials]) -> Protocol:
    systems: dict[str, list[Trials]] = {}
    for source in sources:
        systems.setdefault(source.system, []).append(source)
    for folds in systems.values():
        errors, tests = yield from (_searched if plan.jobs[0].search else _tried)(plan, folds)
        if errors:
            yield tests[min(errors, key=lambda configuration: np.mean(errors[configuration]))]


Tried = tuple[dict[str, tuple[float, ...]], dict[str, list[Trial]]]
"""The validation errors of each configuration, and the trials that would test it.

Errors only of configurations that have one in every repeat.
"""


def _tried(plan: Plan, folds: Sequence[Trials]) -> Generator[list[Trial], Records, Tried]:
    """Try every combination of values."""
    trials = [t for source in folds for t in source.product(plan.axes, {}, test=False)]
    tests = [t for source in folds for t in source.product(plan.axes, {}, test=True)]
    records = yield trials
    errors: dict[str, list[float | None]] = {}
    tested: dict[str, list[Trial]] = {}
    for trial, test in zip(trials, tests, strict=True):
        tested.setdefault(trial.configuration, []).append(test)
        errors.setdefault(trial.configuration, []).append(_error(records.get(trial.digest)))
    complete = {c: _complete(values) for c, values in errors.items()}
    return {c: values for c, values in complete.items() if values is not None}, tested


def _searched(plan: Plan, folds: Sequence[Trials]) -> Generator[list[Trial], Records, Tried]:
    """Try as many configurations as the budget has, as the study proposes them."""
    cfg, settings = folds[0].combination.cfg, folds[0].combination.cfg.search
    space = plan.space(folds[0].combination)
    default = folds[0].default
    no_default = any(default.get(key) is None for key in plan.intervals)
    study = Study(
        space,
        sampler=settings.sampler,
        seed=settings.seed,
        startup=settings.startup,
        prune=settings.prune,
        first=None if no_default else {key: default.get(key, np.nan) for key in space},
    )
    judged = _judged(plan)
    errors: dict[str, tuple[float, ...]] = {}
    tested: dict[str, list[Trial]] = {}
    for begin in range(0, cfg.budget, settings.batch):
        proposed = study.ask(min(settings.batch, cfg.budget - begin))
        groups = []
        for proposal in proposed:
            groups.append(
                [t for source in folds for t in source.product(judged, proposal, test=False)]
            )
            tests = [t for source in folds for t in source.product(plan.axes, proposal, test=True)]
            tested[tests[0].configuration] = tests
        groups = [
            [_limited(t, limit) for t, limit in zip(g, study.limits(len(g)), strict=True)]
            for g in groups
        ]
        records = yield [t for group in groups for t in group]
        worths = [_worth(group, records) for group in groups]
        study.tell(worths)
        for group, worth in zip(groups, worths, strict=True):
            values = _complete([_error(records.get(trial.digest)) for trial in group])
            if worth.value is not None and values is not None:
                errors[group[0].configuration] = values
    return errors, tested


def _judged(plan: Plan) -> Mapping[str, Mapping[str, object]]:
    """Return the axes by which a search judges a configuration: the first of the seeds only."""
    n_seeds = plan.jobs[0].search.seeds
    seeds = dict(islice(plan.axes.get("seed", {}).items(), n_seeds))
    return plan.axes | ({"seed": seeds} if seeds else {})


def _limited(trial: Trial, limits: Mapping[int, float]) -> Trial:
    """Return the trial as one to be given up above the limits, with a digest for that case."""
    if not limits:
        return trial
    return replace(trial, limits=dict(limits), pruned_digest=pruned_digest(trial.digest, limits))


def pruned_digest(job: str, limits: Mapping[int, float]) -> str:
    """Return the digest of a job that was given up, which depends on its limits."""
    return digest({"job": job, "limits": {str(epoch): limit for epoch, limit in limits.items()}})


def _worth(group: Sequence[Trial], records: Records) -> Worth:
    """Return what a configuration was worth by the records of its repeats.

    A repeat computed before without limits counts as given up where they would have ended it.
    """
    ended = [records.get(t.digest) or records.get(t.pruned_digest or "") for t in group]
    curves = [r.curves.get(r.task.validation_curve, {}) if r else {} for r in ended]
    cut = [exceeds(curve, trial.limits) for curve, trial in zip(curves, group, strict=True)]
    if any(epoch is not None for epoch in cut):
        shown = [
            {s: v for s, v in c.items() if e is None or s <= e}
            for c, e in zip(curves, cut, strict=True)
        ]
        return Worth(None, pruned=True, curves=shown)
    errors = _complete([_error(record) for record in ended])
    return Worth(None if errors is None else float(np.mean(errors)), curves=curves)


def _complete(errors: Sequence[float | None]) -> tuple[float, ...] | None:
    """Return the errors of all repeats; None if one has none."""
    values = tuple(error for error in errors if error is not None)
    return values if len(values) == len(errors) else None


def _error(record: Record | None) -> float | None:
    if record is None or not record.finished:
        return None
    error = record.validation_error
    return None if error is None or math.isnan(error) else error


def jobs_at_most(plan: Plan) -> int:
    """Return how many jobs the plan's protocol can come to."""
    if not plan.selects:
        return plan.total
    cfg = plan.jobs[0]
    repeats = math.prod(len(values) for key, values in plan.axes.items() if key in REPEATS)
    if not cfg.search:
        return plan.total + repeats * len(plan.combinations)
    judged = math.prod(map(len, _judged(plan).values()))
    return (cfg.budget * judged + repeats) * len(plan.combinations)
