"""The README says what is true: its example prints what it shows, its numbers are those of the
results, its links lead somewhere.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_example_prints_what_the_readme_shows():
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.S).groups()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == shown


def test_numbers_are_those_of_the_published_gap():
    page = (ROOT / "results" / "published_gap" / "README.md").read_text("utf-8")
    measured = {}
    for name, *cells in re.findall(r"^\| `(\w+)` +\| +(\S+) \| +(\S+) \| +(\S+) \|", page, re.M):
        measured.setdefault(name, cells)
    rows = re.findall(r"\(`(\w+)`\) +\| +(\S+) \| +(\S+) \| +(\S+) \|", README)
    assert len(rows) == 6
    for name, *cells in rows:
        assert cells == measured[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
