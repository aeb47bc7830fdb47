"""One loader: every function here returns a `Dataset`, and `conf/data` names them."""

from bench.data.files import ratings_file
from bench.data.movielens import ml100k, ml100k_or_planted
from bench.data.simulate import planted

__all__ = ["ml100k", "ml100k_or_planted", "planted", "ratings_file"]
