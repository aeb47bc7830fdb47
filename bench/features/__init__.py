"""From a data set to what models are fitted on: named features, each a function, all models alike.

A feature gives blocks (a categorical variable: a level per rating) or side columns of a block (what
is known about each level). `FEATURES` is the list of those there are; beside them any column of the
user or item table is a feature of its own, `user.COLUMN` or `item.COLUMN`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from scipy import sparse

from bench.data.dataset import Dataset, Rows
from bench.errors import UserError, checked
from bench.features.context import Context, Side
from bench.features.implicit import implicit, implicit_items
from bench.features.tables import TABLES, column, side
from bench.features.times import SECONDS_PER_DAY, cyclic, day, item_age, place, sessions
from fm.design import Block, Design
from fm.validation import check_choice

__all__ = ["FEATURES", "SECONDS_PER_DAY", "encode", "feature"]

Feature = Callable[[Context], Iterable[Block | Side]]


def ids(context: Context) -> Iterator[Block]:
    """Blocks `user` and `item`; a level for every id in ratings or tables."""
    yield context.users
    yield context.items


FEATURES: dict[str, Feature] = {
    function.__name__: function
    for function in (ids, side, day, implicit, implicit_items, sessions, place, item_age, cyclic)
}


def feature(name: str) -> Feature:
    """What a name stands for. ValueError for one that stands for nothing, with the nearest that does."""
    of, dot, rest = name.partition(".")
    if dot and of in TABLES:
        return partial(column, of=of, name=rest)
    check_choice("feature", name, [*FEATURES, *(f"{of}.COLUMN" for of in TABLES)])
    return FEATURES[name]


def encode(dataset: Dataset, features: Sequence[str], train_rows: Rows) -> Design:
    """The design of every rating of `dataset`, in order; take rows of it for train and test. Blocks come in the
    order of their features, but `user` and `item` first.

    Raises
    ------
    UserError : an unknown or repeated feature, or one that this data set cannot give.
    """
    with checked():
        functions = {
            name: feature(name) for name in sorted(features, key=lambda name: name != "ids")
        }
    if len(functions) < len(features):
        raise UserError(f"each feature can be named once, got {', '.join(features)}")
    context = Context(dataset, train_rows)
    parts = [part for function in functions.values() for part in function(context)]
    blocks = sorted(
        (part for part in parts if isinstance(part, Block)), key=lambda block: block.linear
    )
    sides = [part for part in parts if isinstance(part, Side)]
    missing = {s.block for s in sides} - {b.name for b in blocks}
    if missing or not blocks:
        raise UserError(f"features {', '.join(features)} need 'ids' among them")
    return Design(
        tuple(_joined(block, [s for s in sides if s.block == block.name]) for block in blocks)
    )


def _joined(block: Block, sides: list[Side]) -> Block:
    if not sides:
        return block
    labels = sum((s.labels for s in sides), ())
    label, times = Counter(labels).most_common(1)[0] if labels else ("", 1)
    if times > 1:
        raise UserError(
            f"{block.name}.{label} is {times} times among the features: 'side' has all columns that describe"
        )
    return replace(
        block, side=sparse.hstack([s.matrix for s in sides], format="csr"), side_labels=labels
    )
