"""Rows of a design as lines of text, in the formats of Vowpal Wabbit and of LIBFFM.

Vowpal Wabbit: `RATING |u USER |i ITEM`. A namespace a block, named by a letter, since that is what
VW's -q and --lrq call it; in it the level's label, then the level's side features as `@NAME:VALUE`,
or nothing for a row without information. Names are percent-encoded, since blanks, colons and bars
mean something to VW, and the @ keeps side features apart from labels. VW doesn't hash labels that
are whole numbers but adds them to the namespace's hash, as in every published run on MovieLens.

LIBFFM: `RATING FIELD:FEATURE:VALUE ...`; a block's levels are a field, and so are its side
features.

Source: https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Input-format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from string import ascii_letters, digits
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fm.design import Block, Design

ROWS = 4096
"""Lines made at once; with the items that a user rated among her features a line has kilobytes."""


def vw_lines(X: Design, y: NDArray[np.float64] | None = None) -> Iterator[str]:
    """Yield VW's lines, `ROWS` at once, with ratings where y is given.

    ValueError as `namespaces`.
    """
    texts = []
    for block, letter in zip(X, namespaces(X), strict=True):
        labels = range(block.n_levels) if block.labels is None else block.labels
        levels = [f" |{letter} {quote(str(label), safe='') or '%'}" for label in labels]
        described = block.side_feature_names or range(block.n_side_features)
        names = [f" @{quote(str(name), safe='')}:" for name in described]
        texts.append(_level_texts(block, levels, names, unknown=f" |{letter}"))
    return _lines(X, texts, y)


def ffm_lines(X: Design, y: NDArray[np.float64]) -> Iterator[str]:
    """Yield LIBFFM's lines, `ROWS` at once; a level that is not known has nothing of its block."""
    texts, field, feature = [], 0, 0
    for block in X:
        levels = [f" {field}:{feature + level}:1" for level in range(block.n_levels)]
        first = feature + block.n_levels
        names = [f" {field + 1}:{first + j}:" for j in range(block.n_side_features)]
        texts.append(_level_texts(block, levels, names, unknown=""))
        field += 1 + (block.side_features is not None)
        feature += block.n_features
    return _lines(X, texts, y)


def namespaces(X: Design) -> list[str]:
    """Return for each block the first letter of its name, or of all, that no other has before it.

    `user` is u and `item` i, and `item_age` after them t. ValueError for more blocks than letters
    and digits.
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


def _lines(
    X: Design, texts: Sequence[NDArray[np.object_]], y: NDArray[np.float64] | None
) -> Iterator[str]:
    for start in range(0, len(X), ROWS):
        rows = slice(start, min(start + ROWS, len(X)))
        lines = np.full(rows.stop - start, "", dtype=object) if y is None else _numbers(y[rows])
        for block, of_level in zip(X, texts, strict=True):
            lines = lines + of_level[block.levels[rows]]
        yield "".join(f"{line}\n" for line in lines.tolist())


def _numbers(y: NDArray[np.float64]) -> NDArray[np.object_]:
    values, rows = np.unique(y, return_inverse=True)
    return np.array([f"{value:.9g}" for value in values], dtype=object)[rows]


def _level_texts(
    block: Block, levels: list[str], names: list[str], unknown: str
) -> NDArray[np.object_]:
    """(n_levels + 1,) a level's part of a line; last, where -1 finds it, that of no information."""
    side = block.side_features
    if side is not None:
        features = [
            f"{names[j]}{value:.9g}" for j, value in zip(side.indices, side.data, strict=True)
        ]
        bounds = pairwise(side.indptr.tolist())
        levels = [
            text + "".join(features[i:j]) for text, (i, j) in zip(levels, bounds, strict=True)
        ]
    return np.array([*levels, unknown], dtype=object)
