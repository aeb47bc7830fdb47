"""Do 90 % intervals cover 90 % of the ratings?"""

from __future__ import annotations

import numpy as np

from bench.measure import Measured
from bench.studies.speed.bars import Bar
from bench.studies.speed.page import Section
from bench.studies.speed.setting import Setting, configured, setting
from bench.tables import markdown_table

LEVELS = 0.05, 0.95


def measure(repeats: int, sweeps: int) -> dict[str, list[float]]:
    """Split -> share of test ratings within the interval, a seed each: `fm_gibbs`, all features."""
    model = configured("fm_gibbs", n_iter=sweeps)
    return {
        split: [
            coverage(
                model.set_params(random_state=seed),
                setting("data=ml100k", f"split={split}", "features=all"),
            )
            for seed in range(repeats)
        ]
        for split in ("ua", "u1")
    }


def coverage(model, data: Setting) -> float:
    test = data.split.test
    with Measured(threads=1):
        low, high = model.fit(*data.development).predict_quantiles(data.X[test], LEVELS).T
    return float(np.mean((low <= data.y[test]) & (data.y[test] <= high)))


def section(covered: dict[str, list[float]]) -> Section:
    rows = [
        [split, f"{np.mean(of):.4f}", f"{np.std(of, ddof=1):.4f}", str(len(of))]
        for split, of in covered.items()
    ]
    text = f"""\
{markdown_table(["split", "covered", "std over seeds", "n"], rows)}

Test ratings between the 5 % and 95 % quantiles of `FMRegressor(solver="gibbs").predict_quantiles`, all features, noise
included, not rounded to whole stars."""
    bars = [
        Bar(f"90 % intervals cover, {split}", np.array(of), 0.88, 0.92)
        for split, of in covered.items()
    ]
    return Section("Do 90 % intervals cover 90 %?", text, tuple(bars))
