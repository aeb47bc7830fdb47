"""From a data set to what models are fitted on: named features, the same for every model."""

from bench.features.building import FEATURES, blocks_and_columns, build_design, features_of
from bench.features.columns import SECONDS_PER_DAY, SESSIONS, bin_edges, center_and_spread

__all__ = [
    "FEATURES",
    "SECONDS_PER_DAY",
    "SESSIONS",
    "bin_edges",
    "blocks_and_columns",
    "build_design",
    "center_and_spread",
    "features_of",
]
