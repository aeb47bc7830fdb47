"""One loader: every function here returns a `Dataset`.

`conf/data` has a file for each, which explains its parameters. Whatever is wrong with a file or a
parameter is a `UserError` with the file's line and the value; a data set that is not here and
cannot be fetched is the `UserError` `DataUnavailable`.
"""

from bench.data.folders import douban, frappe, ml1m_without_time
from bench.data.movielens_releases import ml100k_or_planted, movielens
from bench.data.ratings import ratings_file
from bench.data.simulate import planted
from bench.data.simulate_fields import planted_clicks, planted_values
from bench.data.svmlight import svmlight_file
from bench.data.table import table_file

__all__ = [
    "douban",
    "frappe",
    "ml1m_without_time",
    "ml100k_or_planted",
    "movielens",
    "planted",
    "planted_clicks",
    "planted_values",
    "ratings_file",
    "svmlight_file",
    "table_file",
]
