"""Which models are for which task.

What their tags say, and the classifiers that share a choice with a regressor.
"""

from __future__ import annotations

from collections.abc import Mapping

from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from baselines import VowpalWabbit, VowpalWabbitClassifier
from baselines.peers.libfm import LibFM, LibFMClassifier
from baselines.peers.modern_fm import ModernFM, ModernFMClassifier
from baselines.peers.myfm import MyFM, MyFMClassifier
from baselines.peers.scikit_learn import (
    BoostingClassifierOnTargetStatistics,
    BoostingOnTargetStatistics,
)
from fm import FMClassifier, FMRegressor

CLASSIFIERS: Mapping[type[BaseEstimator], type[BaseEstimator]] = {
    FMRegressor: FMClassifier,
    VowpalWabbit: VowpalWabbitClassifier,
    BoostingOnTargetStatistics: BoostingClassifierOnTargetStatistics,
    MyFM: MyFMClassifier,
    LibFM: LibFMClassifier,
    ModernFM: ModernFMClassifier,
}
"""Regressor -> the classifier of the same parameters.

`model=fm_gibbs` is either, as the task says.
"""


def model_for(model: BaseEstimator, task: str) -> BaseEstimator | None:
    """Return the model as it is for `task`: itself, or the classifier of the same parameters.

    None: there is none.

    Examples
    --------
    >>> model_for(FMRegressor(k=4), "binary")
    FMClassifier(k=4)
    """
    kind = "classifier" if task == "binary" else "regressor"
    if get_tags(model).estimator_type == kind:
        return model
    other = CLASSIFIERS.get(type(model)) if kind == "classifier" else None
    if other is None:
        return None
    classifier = other(**model.get_params(deep=False))
    try:
        getattr(classifier, "check_params", lambda: None)()
    except ValueError:
        return None  # such as a solver that does not classify
    return classifier
