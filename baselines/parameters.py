"""Estimators as dataclasses: a parameter is a field, whose annotation says what it may be."""

from __future__ import annotations

from functools import partial
from types import NoneType
from typing import Annotated, get_args, get_type_hints

import numpy as np
from sklearn.base import BaseEstimator

from fm.validation import check_integer, check_number

PositiveInt = Annotated[int, partial(check_integer, low=1)]
NonNegativeInt = Annotated[int, partial(check_integer, low=0)]
PositiveFloat = Annotated[float, partial(check_number, above=0)]
NonNegativeFloat = Annotated[float, partial(check_number, low=0)]
RandomState = int | np.random.Generator | None


class Estimator(BaseEstimator):
    """Base of estimators whose parameters are checked by their annotations."""

    def check_params(self) -> None:
        """Raise ValueError or TypeError for the first parameter that is out of range."""
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
            for kind in kinds:
                for check in getattr(kind, "__metadata__", ()):
                    value = getattr(self, name)
                    if value is not None or NoneType not in kinds:
                        check(name, value)
