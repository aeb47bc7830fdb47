"""`python -m bench.check`: has a change made a model less accurate? Against `results/reference.yaml`."""
