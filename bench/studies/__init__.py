"""What this project measures about itself; `python -m bench.studies list` names the studies.

A study is a module with a `STUDY`. Nothing outside this package imports one.
"""

STUDIES = (
    "general",
    "published_results",
    "scale",
    "speed",
    "sweep_overhead",
)
