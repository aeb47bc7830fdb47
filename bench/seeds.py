"""One seed, many independent streams: each named part draws from its own."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of the stream `names` under `seed`.

    A stream depends on nothing but its seed and its names: adding a part never shifts another's
    numbers. The names enter as the spawn key of a `SeedSequence`, hashed, so that they may be any.
    """
    name = "\0".join(map(str, names)).encode()
    key = np.frombuffer(hashlib.sha256(name).digest(), dtype="<u4")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key.tolist()))
