"""Alternating least squares as slow and plain as it can be written: what `fm.als` is held
against.
"""

import numpy as np

from tests.oracles import fm_predict


def objective(X, y, weight, w0, w, V, l2, l2_w):
    e = y - fm_predict(X, w0, w, V)
    return weight @ e**2 + l2_w * w @ w + l2 * np.sum(V**2)


def coordinate_sweep(X, y, weight, w0, w, V, l2, l2_w, order=None):
    """Every parameter in turn, of the columns in that order, to the minimum of the objective, which
    is a parabola in it.
    """

    def minimise(x, i, penalty):
        """x[i] <- argmin, from the prediction's two values at x[i] = 0 and 1."""
        x[i] = 0
        at_zero = fm_predict(X, w0[0], w, V)
        x[i] = 1
        h = fm_predict(X, w0[0], w, V) - at_zero
        x[i] = weight @ (h * (y - at_zero)) / (weight @ h**2 + penalty)

    w, V, w0 = w.copy(), V.copy(), np.array([float(w0)])
    for j in range(len(w)) if order is None else order:
        minimise(w, j, l2_w)
        for f in range(V.shape[1]):
            minimise(V, (j, f), l2)
    minimise(w0, 0, 0)
    return w0[0], w, V


def column_sweep(X, y, weight, w0, w, V, l2, l2_w):
    """(w_j, v_j) of one column after the other by a small ridge regression, then w0."""
    w, V = w.copy(), V.copy()
    k = V.shape[1]
    for j in range(len(w)):
        w[j], V[j] = 0, 0
        rest = fm_predict(X, w0, w, V)
        h = X[:, [j]] * np.column_stack([np.ones(len(y)), X @ V])
        gram = (h.T * weight) @ h + np.diag([l2_w] + [l2] * k)
        w[j], *V[j] = np.linalg.solve(gram, (h.T * weight) @ (y - rest))
    w0 += np.average(y - fm_predict(X, w0, w, V), weights=weight)
    return w0, w, V
