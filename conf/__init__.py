"""Hydra's search path: a folder a group, a file a choice; `conf/model` registers the models."""
