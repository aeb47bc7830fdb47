"""The jobs that a sweep runs, batch after batch, each batch chosen by the results before it.

    a grid                        every job, tested
    select, seeds, folds, search  jobs that never see test; of each system (model, features,
                                  data) the configuration with the lowest mean validation error
                                  over its repeats (seeds, folds), tested once a repeat; a search
                                  may judge each by fewer seeds than the chosen one is tested with

A protocol is a generator: it yields a batch of trials and is sent the records of those that ended,
by digest.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from operator import itemgetter

import numpy as np

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
        tried = yield from (_searched if plan.jobs[0].search else _tried)(plan, folds)
        if tried:
            yield min(tried, key=itemgetter(0))[1]


Tried = list[tuple[float, list[Trial]]]
"""Of each configuration with an error in every repeat: the mean, and what would test it."""


def _tried(plan: Plan, folds: Sequence[Trials]) -> Generator[list[Trial], Records, Tried]:
    """Try every combination of values."""
    trials = [t for source in folds for t in source.product(plan.axes, {}, test=False)]
    tests = [t for source in folds for t in source.product(plan.axes, {}, test=True)]
    records = yield trials
    repeats: dict[str, list[tuple[Trial, Trial]]] = {}
    for trial, test in zip(trials, tests, strict=True):
        repeats.setdefault(trial.configuration, []).append((trial, test))
    tried: Tried = []
    for of in repeats.values():
        mean = _mean_error([trial.record_in(records) for trial, _ in of])
        tried += [] if mean is None else [(mean, [test for _, test in of])]
    return tried


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
    tried: Tried = []
    for begin in range(0, cfg.budget, settings.batch):
        proposals = study.ask(min(settings.batch, cfg.budget - begin))
        groups = []
        for proposal in proposals:
            group = [t for source in folds for t in source.product(judged, proposal, test=False)]
            limits = study.limits(len(group))
            groups.append([replace(t, limits=of) for t, of in zip(group, limits, strict=True)])
        records = yield [t for group in groups for t in group]
        worths = [_worth(group, records) for group in groups]
        study.tell(worths)
        for proposal, worth in zip(proposals, worths, strict=True):
            if worth.value is not None:
                tests = (source.product(plan.axes, proposal, test=True) for source in folds)
                tried.append((worth.value, [t for of in tests for t in of]))
    return tried


def _judged(plan: Plan) -> Mapping[str, Mapping[str, object]]:
    """Return the axes by which a search judges a configuration: the first of the seeds only."""
    n_seeds = plan.jobs[0].search.seeds
    seeds = dict(islice(plan.axes.get("seed", {}).items(), n_seeds))
    return plan.axes | ({"seed": seeds} if seeds else {})


def _worth(group: Sequence[Trial], records: Records) -> Worth:
    """Return what a configuration was worth by the records of its repeats.

    A repeat computed before without limits counts as given up where they would have ended it.
    """
    ended = [trial.record_in(records) for trial in group]
    curves = [r.curves.get(r.task.validation_curve, {}) if r else {} for r in ended]
    cut = [exceeds(curve, trial.limits) for curve, trial in zip(curves, group, strict=True)]
    if any(epoch is not None for epoch in cut):
        shown = [
            {s: v for s, v in c.items() if e is None or s <= e}
            for c, e in zip(curves, cut, strict=True)
        ]
        return Worth(None, pruned=True, curves=shown)
    return Worth(_mean_error(ended), curves=curves)


def _mean_error(ended: Sequence[Record | None]) -> float | None:
    """Return the mean validation error of all repeats; None if one has none."""
    errors = [r.validation_error for r in ended if r is not None and r.finished]
    values = [e for e in errors if e is not None and not math.isnan(e)]
    return float(np.mean(values)) if values and len(values) == len(ended) else None


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
