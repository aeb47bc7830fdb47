"""`build_design`: named features put together to the design that models are fitted on.

A feature gives blocks (a categorical variable: a level per row), columns that describe a block's
levels, or columns with a row per row. Its name is one of

- `FEATURES`: what is computed from users, items and times;
- a field, a numeric column (in bins between quantiles; `NAME:standardized` is the number itself) or
  a bag;
- `FIELD.COLUMN`, a column of the table that describes the field's levels;
- `FIELD*FIELD`, a level for each pair (or triple) of levels that occurs;
- `FEATURE:linear`, the blocks of another feature with weights alone, without factors;
- `all`: everything that the data set has.

One rule for levels: a level that fewer than `min_count` training rows have carries no information,
as one that none has. A missing value is a level of its own where it occurs in a field or a binned
number, and the mean of a standardized number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy import sparse

from bench.data.dataset import Bag, Dataset, Rows
from bench.errors import UserError, checked, quoted
from bench.features.columns import (
    Context,
    Side,
    bag,
    column,
    column_of,
    crossed,
    cyclic,
    day,
    field,
    implicit,
    implicit_items,
    number,
    sessions,
    side,
)
from fm.design import UNKNOWN, Block, Design
from fm.validation import check_integer, nearest

Part = Block | Side | Bag
Feature = Callable[[Context], Iterable[Part]]


def ids(context: Context) -> Iterator[Part]:
    """Give what each row is: of ratings user and item, else every field, number and bag."""
    dataset = context.dataset
    for name in dataset.ids or (*dataset.fields, *dataset.numeric, *dataset.bags):
        yield from _feature(dataset, name)(context)


FEATURES: dict[str, Feature] = {
    function.__name__: function
    for function in (ids, side, day, implicit, implicit_items, sessions, cyclic)
}


def build_design(
    dataset: Dataset, features: Sequence[str], train_rows: Rows, *, min_count: int = 1
) -> Design | sparse.csr_array:
    """Return the design of every row of `dataset`, in order; take rows of it for train and test.

    Blocks come in the order of their features, but those of `ids` first and linear ones last. With
    a bag or a standardized number among the features it is a matrix (n_rows, n_features).

    Parameters
    ----------
    features : names, see above.
    train_rows : the only rows that are counted.
    min_count : levels with fewer training rows carry no information.
    """
    with checked():
        check_integer("features.min_count", min_count, low=1)
    blocks, columns = blocks_and_columns(dataset, features, train_rows, min_count=min_count)
    if not columns:
        return Design(tuple(blocks))
    matrices = [bag.matrix for bag in columns]
    flat = [block.to_csr() for block in blocks]
    return sparse.csr_array(sparse.hstack([*flat, *matrices], format="csr"))


def blocks_and_columns(
    dataset: Dataset, features: Sequence[str], train_rows: Rows, *, min_count: int = 1
) -> tuple[list[Block], list[Bag]]:
    """Return what `build_design` puts together: the blocks, then bags and standardized numbers."""
    functions = features_of(dataset, features)
    context = Context(dataset, train_rows)
    parts = [part for function in functions for part in function(context)]
    blocks = sorted((p for p in parts if isinstance(p, Block)), key=lambda block: block.linear)
    sides = [part for part in parts if isinstance(part, Side)]
    columns = [part for part in parts if isinstance(part, Bag)]
    missing = {s.block for s in sides} - {b.name for b in blocks}
    if missing or not (blocks or columns):
        needed = ", ".join(sorted(missing))
        raise UserError(f"features {', '.join(features)} need 'ids' among them, or {needed}")
    if min_count > 1:
        blocks = [_without_rare(block, train_rows, min_count) for block in blocks]
    blocks = [_joined(block, [s for s in sides if s.block == block.name]) for block in blocks]
    linear = [block.name for block in blocks if block.linear]
    if columns and linear:
        raise UserError(
            f"features {', '.join(features)}: {', '.join(linear)} have weights without factors, "
            "which cannot be beside a bag or a standardized number"
        )
    return blocks, columns


def features_of(dataset: Dataset, features: Sequence[str]) -> list[Feature]:
    """Return what the names stand for, `ids` first."""
    names = [name for given in features for name in _expanded(dataset, given)]
    if len(set(names)) < len(names):
        raise UserError(f"each feature can be named once, got {', '.join(names)}")
    return [_feature(dataset, name) for name in sorted(names, key=lambda name: name != "ids")]


def _expanded(dataset: Dataset, name: str) -> list[str]:
    """Return what `all` stands for, or the name."""
    if name != "all":
        return [name]
    others = [*dataset.fields, *dataset.numeric, *dataset.bags]
    if dataset.task != "rating" or not {"user", "item"} <= set(dataset.fields):
        return others
    timed = dataset.time is not None
    given = {"ids": True, "day": timed, "side": bool(dataset.tables)}
    given |= {"implicit": True, "implicit_items": True, "sessions": timed and not dataset.bags}
    others = [other for other in others if other not in ("user", "item")]
    return [feature for feature, there in given.items() if there] + others


def _feature(dataset: Dataset, name: str) -> Feature:
    """Return what a name stands for in this data set."""
    of, _, how = name.rpartition(":")
    if of and how == "linear":
        return partial(_without_factors, feature=_feature(dataset, of), name=name)
    if name in FEATURES:
        return FEATURES[name]
    if name in dataset.fields:
        return partial(field, name=name)
    if name in dataset.numeric:
        return partial(number, name=name, standardized=False)
    if of in dataset.numeric and how == "standardized":
        return partial(number, name=of, standardized=True)
    if name in dataset.bags:
        return partial(bag, name=name)
    fields = name.split("*")
    if len(fields) > 1 and set(fields) <= set(dataset.fields):
        return partial(crossed, names=tuple(fields))
    of, dot, rest = name.partition(".")
    if dot and of in dataset.fields:
        column_of(dataset, of, rest)
        return partial(column, of=of, name=rest)
    own = [*dataset.fields, *dataset.numeric, *dataset.bags]
    described = [f"{of}.{c}" for of, table in dataset.tables.items() for c in table.columns]
    names = [*FEATURES, *own, *(f"{of}.COLUMN" for of in dataset.tables)]
    raise UserError(
        f"{dataset.name} has no feature {quoted(name)}{nearest(name, [*names, *described])}; "
        f"there are {', '.join(names)}"
    )


def _without_factors(context: Context, feature: Feature, name: str) -> Iterator[Block]:
    for part in feature(context):
        if not isinstance(part, Block):
            raise UserError(f"{name}: only levels can have weights alone")
        yield replace(part, linear=True)


def _without_rare(block: Block, train_rows: Rows, min_count: int) -> Block:
    levels = block.levels[train_rows]
    counts = np.bincount(levels[levels >= 0], minlength=block.n_levels)
    rare = np.append(counts < min_count, True)  # the last is that of unknown levels
    return replace(block, levels=np.where(rare[block.levels], UNKNOWN, block.levels))


def _joined(block: Block, sides: list[Side]) -> Block:
    if not sides:
        return block
    labels = sum((s.labels for s in sides), ())
    label, times = Counter(labels).most_common(1)[0] if labels else ("", 1)
    if times > 1:
        raise UserError(
            f"{block.name}.{label} is {times} times among the features: 'side' has all columns "
            "that describe"
        )
    return replace(
        block,
        side_features=sparse.hstack([s.matrix for s in sides], format="csr"),
        side_feature_names=labels,
    )
