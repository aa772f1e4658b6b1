"""Snapshots as Cinder shows them, field by field and microversion by microversion."""

from __future__ import annotations

from typing import Any

from cinder_lite.db import snapshot_lists
from lite_common.wsgi import expose

Json = dict[str, Any]
EXTENDED = "os-extended-snapshot-attributes"


def every(request: expose.ApiRequest, shown: snapshot_lists.Shown, *, extended: bool = False) -> list[Json]:
    """Every snapshot; `extended` adds the keys that show and detail have and create, update and the list have not."""
    answers = []
    for row in shown.rows:
        answer: Json = {
            "id": row.id,
            "name": row.display_name,
            "description": row.display_description,
            "volume_id": row.volume_id,
            "status": row.status,
            "size": row.volume_size,
            "metadata": shown.metadata.get(row.id, {}),
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        if extended:
            answer |= {f"{EXTENDED}:project_id": row.project_id, f"{EXTENDED}:progress": row.progress}
        if request.at_least("3.14"):
            answer["group_snapshot_id"] = row.group_snapshot_id
        if request.at_least("3.41"):
            answer["user_id"] = row.user_id
        if request.at_least("3.65"):
            answer["consumes_quota"] = bool(row.use_quota)
        answers.append(answer)
    return answers
