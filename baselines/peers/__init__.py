"""Programs that others wrote, as models: one short adapter each, optional extra `[peers]`."""
