"""A model that ends its process, as a machine without memory does."""

import os
import signal

from baselines import RidgeRegression


class Killer(RidgeRegression):
    def fit(self, X, y):
        if self.l2 == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)
