"""
How many factors are worth it?
==============================

An FM with ``k = 0`` is a linear model. Ratings simulated from two factors show what each further
factor buys, and that the Bayesian FM does not overfit when it has more than it needs.
"""

import matplotlib.pyplot as plt
import numpy as np

from fm import Block, Design, FMRegressor

rng = np.random.default_rng(0)
n_users, n_items, noise = 300, 200, 0.5
user, item = rng.integers(0, [[n_users], [n_items]], (2, 12_000))
factors = rng.normal(0, 0.6, (n_users + n_items, 2))
expected = 3 + (factors[user] * factors[n_users + item]).sum(axis=1)
y = expected + rng.normal(0, noise, len(user))

X = Design([Block("user", user, n_users), Block("item", item, n_items)])
train, test = slice(0, 10_000), slice(10_000, None)

# %%
# One fit for each number of factors, all on the same rows.

ks = [0, 1, 2, 4, 8]
rmse = []
for k in ks:
    model = FMRegressor(k=k, n_iter=60, random_state=0).fit(X[train], y[train])
    rmse.append(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))

fig, ax = plt.subplots()
ax.plot(ks, rmse, "o-", label="FM, Gibbs sampling")
ax.axhline(noise, color="gray", ls="--", label="noise of the ratings")
ax.set(xlabel="factors k", ylabel="test RMSE")
ax.legend()
plt.show()
