"""Has a change made a model worse? `python -m bench.check [checks.yaml]`, against recorded results.

experiments.py   what is run: command lines of the harness, or functions of a seed
rule.py          when a loss is more than chance explains; how often that is wrong, by simulation
reference.py     what was recorded, when and why
checking.py      running experiments, judging and recording them; the table of outcomes
history.py       checks as tracked runs
bisection.py     which commit made a result worse
plugin.py        the same within pytest: the fixture `accuracy`
"""
