"""One loader: every function here returns a `Dataset`, and `conf/data` names them."""

from bench.data.movielens_releases import ml100k_or_planted, movielens
from bench.data.ratings import ratings_file
from bench.data.simulate import planted
from bench.data.table import table_file

__all__ = ["ml100k_or_planted", "movielens", "planted", "ratings_file", "table_file"]
