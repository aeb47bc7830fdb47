"""A model that ends its process, as a machine without memory does."""

import multiprocessing
import os
import signal

from baselines import RidgeRegression


class Killer(RidgeRegression):
    def fit(self, X, y):
        if self.l2 == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


class DiesBetweenJobs(RidgeRegression):
    """Ends the first worker that makes one, before its job is claimed; FLAG says that it has."""

    def __init__(self, l2=1.0):
        super().__init__(l2=l2)
        flag = os.environ.get("FLAG", "")
        if flag and multiprocessing.current_process().name != "MainProcess":
            try:
                os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
