"""The dashboard's view of the runs, in the form in which MLflow's pages keep one in a tag."""

from __future__ import annotations

import base64
import json
import time
import zlib

from bench.metrics import Task

NAME = "leaderboard"
MODE = "workflowType=machine_learning"
"""What makes MLflow show its pages of training, not those of language models."""


def saved_view(task: Task) -> str:
    """Return the value of the tag `mlflow.sharedViewState.NAME`: all runs, lowest error first.

    MLflow shows no metric by default; shown are the task's own.
    """
    names = (task.selection_metric, task.headline_metric, "time/fit_seconds")
    columns = [*(f"metrics.`{name}`" for name in names), "attributes.`Dataset`"]
    state = {
        "searchFilter": "",
        "orderByKey": columns[0],
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "columnOrder": [],
        "columnWidths": {},
        "selectedColumns": columns,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(1000 * time.time())
    return json.dumps(
        {"name": NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    )
