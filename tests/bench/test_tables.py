import pytest

from bench.tables import code, escaped, markdown_table, number, quoted, seconds, short, signed


def test_table_is_markdown_and_aligned() -> None:
    text = markdown_table(["model", "MSE"], [["linear", "0.9183"], ["fm", "0.87"]])
    assert text.splitlines() == [
        "| model  |    MSE |",
        "| ------ | -----: |",
        "| linear | 0.9183 |",
        "| fm     |   0.87 |",
    ]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), "–"),
        (number(0.90511), "0.9051"),
        (number(28876.0, 0), "28,876"),
        (short(14.327756311553722), "14.33"),
        (short("4.3608995727780117e-07"), "4.361e-07"),
        (short(0.2), "0.2"),
        (short("[ids, sessions]"), "[ids, sessions]"),
        (signed(-0.05, -0.06, -0.04), "-0.0500 [-0.0600, -0.0400]"),
        (seconds(6.1234), "6.12"),
        (seconds(0.0123456), "0.0123"),
        (seconds(123.4), "123"),
        (seconds(None), "–"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (quoted("two\nlines\x1b[2J"), "two lines\N{REPLACEMENT CHARACTER}[2J"),
        (quoted("x" * 100), "x" * 79 + "…"),
        (escaped("a|b<i>`*_"), r"a\|b\<i\>\`\*\_"),
        (code("fm_sgd"), "`fm_sgd`"),
        (code("a`|b"), r"a\`\|b"),
    ],
)
def test_values_from_outside_are_text(shown: str, expected: str) -> None:
    assert shown == expected
