"""Which models are for which task, and the hyperparameters that differ between tasks.

What models' tags say, and the classifiers that share a choice with a regressor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from baselines import VowpalWabbit, VowpalWabbitClassifier
from baselines.peers.ffm import FieldAware, FieldAwareClassifier
from baselines.peers.libfm import LibFM, LibFMClassifier
from baselines.peers.modern_fm import ModernFM, ModernFMClassifier
from baselines.peers.myfm import MyFM, MyFMClassifier
from baselines.peers.scikit_learn import (
    BoostingClassifierOnTargetStatistics,
    BoostingOnTargetStatistics,
)
from bench.errors import UserError
from fm import FMClassifier, FMRegressor

CLASSIFIERS: Mapping[type[BaseEstimator], type[BaseEstimator]] = {
    FMRegressor: FMClassifier,
    VowpalWabbit: VowpalWabbitClassifier,
    BoostingOnTargetStatistics: BoostingClassifierOnTargetStatistics,
    MyFM: MyFMClassifier,
    FieldAware: FieldAwareClassifier,
    LibFM: LibFMClassifier,
    ModernFM: ModernFMClassifier,
}
"""Regressor -> the classifier of the same parameters.

`model=fm_gibbs` is either, as the task says.
"""


def hyperparameters_for(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return a model's configuration with each value that depends on the task as it is for `task`.

    Such a value names tasks, and has one for all others.

    Examples
    --------
    >>> config = {"k": 10, "l2": {"rating": 12.0, "otherwise": None}}
    >>> hyperparameters_for(config, "rating"), hyperparameters_for(config, "binary")
    ({'k': 10, 'l2': 12.0}, {'k': 10, 'l2': None})
    """
    return {
        key: value.get(task, value["otherwise"])
        if isinstance(value, Mapping) and "otherwise" in value
        else value
        for key, value in config.items()
    }


def model_for(model: BaseEstimator, task: str) -> BaseEstimator | None:
    """Return the model as it is for `task`: itself, or the classifier of the same parameters.

    None: there is none.

    Raises
    ------
    UserError
        The model is given a value that the classifier has no parameter for.

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
    params = model.get_params(deep=False)
    only = params.keys() - other().get_params(deep=False).keys()
    given = [name for name in sorted(only) if params[name] is not None]
    if given:
        raise UserError(f"model.{given[0]}={params[given[0]]} is not for a {task} target")
    classifier = other(**{name: of for name, of in params.items() if name not in only})
    try:
        getattr(classifier, "check_params", lambda: None)()
    except ValueError:
        return None  # such as a solver that does not classify
    return classifier
