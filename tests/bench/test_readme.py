from bench.readme import PAGE, README, renewed


def test_headline_is_what_was_last_measured() -> None:
    readme = README.read_text("utf-8")
    assert renewed(readme, PAGE.read_text("utf-8")) == readme, "stale: run `python -m bench.readme`"
