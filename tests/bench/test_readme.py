"""The README shows what was last measured."""

import re

from bench.studies.readme import README, SHOWN, excerpt, renewed


def test_tables_are_those_of_results() -> None:
    readme = README.read_text("utf-8")
    assert renewed(readme) == readme, "stale: run `python -m bench.studies.readme`"
    for name in (page.partition("/")[0] for page in SHOWN):
        assert re.search(rf"<!-- {name}: .* -->\n\n\|(.*\n)+\n<!-- /{name} -->", readme), name


def test_excerpt_keeps_columns_and_their_side() -> None:
    page = "# Title\n\nText.\n\n| a | b | c |\n| --- | ---: | ---: |\n| x | 1 | 22 |\n\n| other |\n"
    assert excerpt(page, (0, 2)).splitlines() == ["| a   |   c |", "| --- | --: |", "| x   |  22 |"]
