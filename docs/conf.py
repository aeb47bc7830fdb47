"""Configuration of the documentation: `make docs`."""

from __future__ import annotations

import importlib.metadata

project = "fm-bench"
author = "The fm-bench developers"
copyright = "2026, the fm-bench developers"
version = release = importlib.metadata.version("fm-bench")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "auto_examples/*.ipynb", "auto_examples/*.py"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Methods inherited from scikit-learn refer to labels of its own documentation.
suppress_warnings = ["config.cache", "myst.header", "ref.ref"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = True
numpydoc_show_inherited_class_members = {
    "fm.FMRegressor": True,
    "fm.FMClassifier": True,
    "fm.FMOrdinal": True,
    "fm.FMRanker": True,
}
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "fm-bench"
html_theme_options = {"navigation_with_keys": False, "show_prev_next": True}
html_show_sourcelink = False
