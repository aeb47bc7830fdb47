"""
How sure is a prediction?
=========================

Gibbs sampling gives every prediction a standard deviation, noise included. It should be larger
where the training rows say less: here, for users with few ratings.
"""

import matplotlib.pyplot as plt
import numpy as np

from fm import Block, Design, FMRegressor

rng = np.random.default_rng(1)
n_users, n_items = 400, 100
weight = 1 / np.arange(1, n_users + 1)  # a few users rate most
user = rng.choice(n_users, 8_000, p=weight / weight.sum())
item = rng.integers(0, n_items, 8_000)
factors = rng.normal(0, 0.7, (n_users + n_items, 2))
y = 3 + (factors[user] * factors[n_users + item]).sum(axis=1) + rng.normal(0, 0.4, len(user))

X = Design([Block("user", user, n_users), Block("item", item, n_items)])
train, test = slice(0, 6_000), slice(6_000, None)
model = FMRegressor(k=4, n_iter=100, random_state=0).fit(X[train], y[train])
mean, std = model.predict(X[test], return_std=True)

# %%
# Of well-calibrated intervals, 95 % hold what they are meant to hold.

inside = np.abs(y[test] - mean) < 1.96 * std
print(f"inside the 95 % interval: {inside.mean():.1%}")

count = np.bincount(user[train], minlength=n_users)[user[test]]
fig, ax = plt.subplots()
ax.semilogx(count + 1, std, ".", alpha=0.4)
ax.set(xlabel="training rows of the user, plus 1", ylabel="predicted standard deviation")
plt.show()
