"""Vowpal Wabbit's text format: a line a rating, `RATING |u USER |i ITEM`.

A namespace a block, named by a letter, since that is what VW's -q and --lrq know it by; in it the
level's label, then the level's side features as `@NAME:VALUE`, or nothing for a row without
information. Names are percent-encoded, since blanks, colons and bars mean something to VW, and the
@ keeps side features apart from labels. VW doesn't hash labels that are whole numbers but adds them
to the namespace's hash, as in every published run on MovieLens. A block is made linear by leaving
its letter out of -q and --lrq.

Source: https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Input-format.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from string import ascii_letters, digits
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fm.design import Block, Design

ROWS = 4096
"""Lines made at once; with the items that a user rated among her features a line has kilobytes."""


def vw_lines(X: Design, y: NDArray[np.float64] | None = None) -> Iterator[str]:
    """Yield a line for each row of X, with its rating where y is given, `ROWS` lines at once.

    ValueError as `namespaces`.
    """
    blocks = [
        (block.levels, _level_texts(block, letter))
        for block, letter in zip(X, namespaces(X), strict=True)
    ]
    for start in range(0, len(X), ROWS):
        rows = slice(start, start + ROWS)
        lines = (
            np.full(len(X.blocks[0].levels[rows]), "", dtype=object)
            if y is None
            else _numbers(y[rows])
        )
        for levels, texts in blocks:
            lines = lines + texts[levels[rows]]
        yield "".join(f"{line}\n" for line in lines.tolist())


def namespaces(X: Design) -> list[str]:
    """Return a letter for each block.

    The first of its name, or of all, that no block before it has.

    `user` is u and `item` i, and `item_age` after them is t.

    Raises
    ------
    ValueError : more blocks than letters and digits.
    """
    letters: list[str] = []
    for block in X:
        own = (a for a in block.name if a.isascii() and a.isalnum())
        free = (a for a in chain(own, ascii_letters, digits) if a not in letters)
        letters.append(next(free, ""))
        if not letters[-1]:
            raise ValueError(
                "VW names a block by a letter or digit of its own: there are "
                f"{len(letters) - 1} for {len(X.blocks)} blocks"
            )
    return letters


def _numbers(y: NDArray[np.float64]) -> NDArray[np.object_]:
    values, rows = np.unique(y, return_inverse=True)
    return np.array([f"{value:.9g}" for value in values], dtype=object)[rows]


def _level_texts(block: Block, letter: str) -> NDArray[np.object_]:
    """(n_levels + 1,) a level's part of a line; last, where -1 finds it, that of no information."""
    labels = range(block.n_levels) if block.labels is None else block.labels
    texts = [f" |{letter} {quote(str(label), safe='') or '%'}" for label in labels]
    if block.side_features is not None:
        given = (
            range(block.n_side_features)
            if block.side_feature_names is None
            else block.side_feature_names
        )
        names = np.array([f" @{quote(str(name), safe='')}:" for name in given], dtype=object)
        features = [
            f"{name}{value:.9g}"
            for name, value in zip(
                names[block.side_features.indices], block.side_features.data, strict=True
            )
        ]
        ends = block.side_features.indptr.tolist()
        texts = [
            text + "".join(features[i:j])
            for text, i, j in zip(texts, ends[:-1], ends[1:], strict=True)
        ]
    return np.array([*texts, f" |{letter}"], dtype=object)
