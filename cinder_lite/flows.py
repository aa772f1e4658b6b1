"""Run a taskflow flow on the calling thread and raise what its task raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import taskflow.engines
from taskflow import exceptions as taskflow_errors
from taskflow import flow as taskflow_flow

from lite_common import errors


def run(flow: taskflow_flow.Flow, store: Mapping[str, Any]) -> None:
    """Run the tasks in order; when one fails, undo those before it in reverse and raise its error.

    When the undoing fails as well (the database went away), the first error of ours is raised.
    """
    try:
        taskflow.engines.load(flow, engine="serial", store=dict(store)).run()
    except taskflow_errors.WrappedFailure as failures:
        raise next(
            (one.exception for one in failures if isinstance(one.exception, errors.LiteError)), failures
        ) from failures
