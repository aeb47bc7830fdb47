"""One loader: every function here returns a `Dataset`, and `conf/data` names them."""

from bench.data.simulate import planted

__all__ = ["planted"]
