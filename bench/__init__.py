"""The harness: one loader, one run, one metric, one place that tracks, for every model alike."""
