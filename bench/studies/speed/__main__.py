"""`python -m bench.studies.speed`: measures speed, and writes `results/speed.md` with its figures.

With names of sections only these are measured, and printed; nothing is written.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from bench.errors import checked, exit_status
from bench.progress import say
from bench.studies.speed import (
    against_libfm,
    against_myfm,
    against_vw,
    growth,
    lemma,
    limits,
    page,
    predicting,
)
from bench.studies.speed.bars import bars_table
from bench.studies.speed.page import Section
from fm.validation import check_choice, check_integer


def peer(against: ModuleType, repeats: int) -> Section:
    """Its section; or why it is skipped."""
    try:
        return against.section(against.measure(repeats))
    except (ImportError, FileNotFoundError) as error:
        return Section(against.TITLE, f"Skipped: {error}.")


SECTIONS = {
    "vw": lambda asked: against_vw.section(*against_vw.measure(asked.repeats)),
    "myfm": lambda asked: peer(against_myfm, asked.repeats),
    "libfm": lambda asked: peer(against_libfm, asked.repeats),
    "predict": lambda asked: predicting.section(predicting.measure(asked.repeats)),
    "growth": lambda asked: growth.section(growth.measure(asked.repeats, asked.max_rows)),
    "lemma": lambda asked: lemma.section(lemma.measure(asked.repeats)),
    "limits": lambda asked: limits.section(limits.measure(asked.repeats)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser("python -m bench.studies.speed", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument(
        "--repeats", type=int, default=7, help="measurements of each quantity (%(default)s)"
    )
    parser.add_argument(
        "--max-rows", type=int, choices=list(growth.SHAPES)[1:], default=max(growth.SHAPES),
        help="largest data set of section growth (%(default)s)",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _measure(asked, arguments))


def _measure(asked: argparse.Namespace, arguments: Sequence[str]) -> int:
    sections = []
    with checked():
        check_integer("--repeats", asked.repeats, low=1)
        for name in asked.sections:
            check_choice("section", name, SECTIONS)
    for name in asked.sections or SECTIONS:
        say(f"section {name}")
        sections.append(SECTIONS[name](asked))
        say()
        print(f"{page.markdown(sections[-1])}\n\n{bars_table(sections[-1].bars)}\n", flush=True)
    if not asked.sections:
        command = shlex.join(["python", "-m", "bench.studies.speed", *arguments])
        about = "Everything on one thread, warm, and what is compared interleaved in one run."
        print(
            f"Written: {page.write(sections, 'speed', 'How fast', about, command, Path('results'))}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
