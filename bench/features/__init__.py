"""From a data set to what models are fitted on: named features, the same for every model."""

from bench.features.building import FEATURES, build_design, features_of
from bench.features.times import SECONDS_PER_DAY

__all__ = ["FEATURES", "SECONDS_PER_DAY", "build_design", "features_of"]
