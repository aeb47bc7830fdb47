"""Vowpal Wabbit's text format: a line a rating, `RATING |u USER |i ITEM`.

A namespace a block, named by the block's first letter; in it the level's label, then the level's side features
as `@NAME:VALUE`, or nothing for a row without information. Names are percent-encoded, since blanks, colons and
bars mean something to VW, and the @ keeps side features apart from labels. VW doesn't hash labels that are whole
numbers but adds them to the namespace's hash, as in every published run on MovieLens.

Source: https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Input-format.
"""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fm.design import Block, Design


def vw_lines(X: Design, y: NDArray[np.float64] | None = None) -> str:
    """A line a row of X, with its rating where y is given. ValueError for blocks that VW can't tell apart."""
    letters = [block.name[:1] for block in X]
    if len(set(letters)) < len(letters) or not all(a.isascii() and a.isalnum() for a in letters):
        raise ValueError(
            f"VW needs blocks that begin with different ASCII letters, got {[b.name for b in X]}"
        )
    if y is None:
        lines = np.full(len(X), "", dtype=object)
    else:
        values, rows = np.unique(y, return_inverse=True)
        lines = np.array([f"{value:.9g}" for value in values], dtype=object)[rows]
    for block in X:
        lines = lines + _level_texts(block)[block.levels]
    return "".join(f"{line}\n" for line in lines.tolist())


def _level_texts(block: Block) -> NDArray[np.object_]:
    """(n_levels + 1,) a level's part of a line; last, where -1 finds it, that of no information."""
    labels = range(block.n_levels) if block.labels is None else block.labels
    texts = [f" |{block.name[0]} {quote(str(label), safe='') or '%'}" for label in labels]
    if block.side is not None:
        names = range(block.n_side) if block.side_labels is None else block.side_labels
        names = np.array([f" @{quote(str(name), safe='')}:" for name in names], dtype=object)
        features = [f"{name}{value:.9g}" for name, value in zip(names[block.side.indices], block.side.data)]
        ends = block.side.indptr.tolist()
        texts = [text + "".join(features[i:j]) for text, i, j in zip(texts, ends, ends[1:])]
    return np.array([*texts, f" |{block.name[0]}"], dtype=object)
