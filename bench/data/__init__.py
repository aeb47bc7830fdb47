"""One loader: every function here returns a `Dataset`, and `conf/data` names them."""

from bench.data.files import ratings_file
from bench.data.grouplens import ml100k_or_planted, movielens
from bench.data.simulate import planted

__all__ = ["ml100k_or_planted", "movielens", "planted", "ratings_file"]
