"""What is published on each data set: values with their source, protocol and information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RATINGS, FIELDS = "ratings alone", "the ten fields"
TABLES = "ratings and tables of users and films"
IDS, BOTH_WAYS = "ids", "ids, implicit, implicit_items"
WITH_DAY = "ids, day, implicit, implicit_items"
WITH_TABLES = {
    "ids, side, implicit, implicit_items": TABLES,
    "ids, day, side, implicit, implicit_items": f"{TABLES}, and the day",
    "ids, day, side, implicit, implicit_items, sessions": f"{TABLES}, the day and sessions",
}
SELECTED_BY_TEST = "its code keeps the epoch with the lowest test error"


@dataclass(frozen=True)
class Published:
    """A published system: its values by metric, what it learns from, and how it was judged."""

    name: str
    link: str
    values: Mapping[str, float]
    information: str
    protocol: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A data set with its published values, and the runs that are held against them.

    Attributes
    ----------
    name : of the measurement and of the experiment that the runs are tracked in.
    about : protocol, and what is weak about it.
    metrics : name in tracked runs -> heading; the first is what is compared.
    higher : metrics of which higher is better.
    asked : models and features that the page names even where they were not measured.
    variable : environment variable that names the folder of data sets that are not fetched.
    information : features -> what they say; of all others they say `FIELDS`.
    commands : words of `python -m bench`, one a sweep.
    """

    name: str
    title: str
    about: str
    metrics: Mapping[str, str]
    published: Sequence[Published]
    commands: Sequence[str]
    variable: str | None = None
    information: Mapping[str, str] = field(default_factory=dict)
    higher: Sequence[str] = ()
    asked: Sequence[tuple[str, str]] = ()


RMSE = {"test/rmse_clipped": "RMSE"}
CTR = {"test/log_loss": "log loss", "test/auc": "AUC"}
GLOCAL_K = "GLocal-K (Han et al., CIKM 2021)", "https://arxiv.org/abs/2108.12184"
GC_MC = "GC-MC (van den Berg et al. 2017)", "https://arxiv.org/abs/1706.02263"
BARS = "https://openbenchmark.github.io/BARS"


def _rmse(system: tuple[str, str], value: float, information: str, protocol: str) -> Published:
    return Published(*system, {"test/rmse_clipped": value}, information, protocol)


def _ctr(name: str, log_loss: float | None, auc: float | None) -> Published:
    values = {"test/log_loss": log_loss, "test/auc": auc}
    given = {metric: value for metric, value in values.items() if value is not None}
    return Published(name, BARS, given, FIELDS, "embedding 10")


DOUBAN = Benchmark(
    "douban",
    "Douban",
    "The 3,000 users and 3,000 items of [Monti et al. (2017)](https://arxiv.org/abs/1704.06803), "
    "123,202 training and 13,689 test ratings, one split. k of the ordered probit was chosen on a "
    "tenth of the training rows, held out; `fm_gibbs` has the same.",
    RMSE,
    (
        _rmse(GLOCAL_K, 0.7208, RATINGS, SELECTED_BY_TEST),
        _rmse(
            ("IGMC (Zhang and Chen, ICLR 2020)", "https://arxiv.org/abs/1904.12058"),
            0.721,
            RATINGS,
            "",
        ),
        _rmse(GC_MC, 0.734, "ratings and the graph of users", ""),
    ),
    ("experiment=douban",),
    "DOUBAN_DIR",
    {IDS: RATINGS, BOTH_WAYS: RATINGS},
    asked=[(model, of) for model in ("fm_gibbs", "fm_ordinal") for of in (IDS, BOTH_WAYS)],
)
ML1M = Benchmark(
    "ml1m",
    "MovieLens 1M",
    "A tenth of the ratings, drawn at random, is test. Each paper drew its own tenth, so that "
    "differences below about 0.002 say nothing of models. k was not searched. A random split puts "
    "test ratings between training ratings of the same user and day: it asks to fill gaps, not to "
    "foretell.",
    RMSE,
    (
        _rmse(GLOCAL_K, 0.8227, RATINGS, f"one tenth; {SELECTED_BY_TEST}"),
        _rmse(
            (
                "SparseFC (Muller et al., ICML 2018)",
                "https://proceedings.mlr.press/v80/muller18a.html",
            ),
            0.824,
            RATINGS,
            "",
        ),
        _rmse(GC_MC, 0.832, RATINGS, ""),
        _rmse(
            ("myFM, ordered probit", "https://github.com/tohtsky/myFM"),
            0.8140,
            "ratings and the day",
            "fold 0 of ten",
        ),
    ),
    ("experiment=ml1m",),
    "ML1M_DIR",
    {IDS: RATINGS, BOTH_WAYS: RATINGS, WITH_DAY: "ratings and the day"},
    asked=[("fm_ordinal", of) for of in (IDS, BOTH_WAYS, WITH_DAY)],
)
ML100K = Benchmark(
    "ml100k",
    "MovieLens-100K, split u1",
    "The published split `u1`; k by `experiment=choose_k`. *Sessions* are each user's seconds, "
    "minutes and half hours, a weight each: a random split tests ratings given within the same "
    "minute as training ratings, and sessions fill such gaps. They say nothing of the future.",
    RMSE,
    (
        _rmse(GLOCAL_K, 0.8889, RATINGS, SELECTED_BY_TEST),
        _rmse(
            (
                "myFM, ordered probit, 512 sweeps",
                "https://github.com/tohtsky/myFM/blob/main/examples/ml-100k-extended.ipynb",
            ),
            0.8808,
            f"{TABLES}, and the day",
            "",
        ),
    ),
    (
        "-m data=ml100k split=u1 split.validation=0 model=fm_ordinal model.n_iter=300 seed=0,1,2 "
        "features=implicit experiment.name=ml100k",
        "-m data=ml100k split=u1 split.validation=0 model=fm_ordinal model.n_iter=300 seed=0,1,2 "
        "features.names=[ids,side,implicit,implicit_items],[ids,day,side,implicit,implicit_items],"
        "[ids,day,side,implicit,implicit_items,sessions] "
        "experiment.name=ml100k",
    ),
    None,
    {BOTH_WAYS: RATINGS, **WITH_TABLES},
    asked=[("fm_ordinal", of) for of in (BOTH_WAYS, *WITH_TABLES)],
)
FRAPPE_MODELS = (
    "base_rate",
    "logistic",
    "vw_pairs",
    "fm_sgd",
    "fm_gibbs",
    "peer_sklearn_boosting",
    "peer_myfm",
    "peer_libfm",
    "peer_modern_fm",
    "peer_modern_ffm",
)
FRAPPE = Benchmark(
    "frappe",
    "Frappe",
    "Which app a user opened in which context ([Baltrunas et al. 2015]"
    "(https://arxiv.org/abs/1505.03014)), in the split of the NFM paper "
    "([He and Chua 2017](https://arxiv.org/abs/1708.05027)): fitted on the training file, "
    "chosen on the validation file, tested once on the test file. The k of `fm_gibbs` was "
    "chosen with 60 sweeps; its 300 sweeps, the first 100 left out, were not searched.\n\n"
    "**The protocol gives pairs away**: a negative is an app that the user never opened, so that "
    "it is never a pair that is positive anywhere, and most positive test pairs are positive pairs "
    "of the training file too. A look-up of (user, app) pairs, `lookup`, is a row of the table; "
    "whatever is not well below its log loss has learned little else.\n\n"
    "**The training negatives of the file measured here are redrawn**: user and context are the "
    "published ones, the app is drawn anew, uniformly from those that the user never opened. "
    "Validation and test files are the published ones. A difference to a published value holds up "
    "to that redraw, whose spread over several draws is not measured.",
    CTR,
    (
        _ctr("LR", 0.3076, 0.9356),
        _ctr("FM", 0.2065, 0.9671),
        _ctr("FFM", 0.1860, 0.9786),
        _ctr("FwFM", 0.2030, 0.9776),
        _ctr("NFM", 0.2058, 0.9804),
        _ctr("DeepFM", 0.1482, 0.9842),
        _ctr("FinalMLP", None, 0.9861),
        _ctr("FinalNet", 0.1311, None),
    ),
    (
        "data=frappe refit=false model=base_rate experiment.name=frappe",
        "data=frappe refit=false model=lookup features.names=[user,item] experiment.name=frappe",
        "-m data=frappe refit=false model=fm_gibbs model.k=24 model.n_iter=300 +model.burn_in=100 "
        "seed=0 features=ids,crossed experiment.name=frappe",
        "experiment=frappe budget=2 seeds=3 model=logistic,vw_pairs,fm_sgd,peer_sklearn_boosting",
    ),
    "FRAPPE_DIR",
    {"user, item": "user and app alone"},
    ("test/auc",),
    [
        ("lookup", "user, item"),
        ("fm_gibbs", "all, user*item"),
        *((model, IDS) for model in FRAPPE_MODELS),
    ],
)
BENCHMARKS = (DOUBAN, ML1M, ML100K, FRAPPE)
