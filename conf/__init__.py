"""Hydra's search path: one folder a group, one file a choice. `conf/model` is the registry of models."""
