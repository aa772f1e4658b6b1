"""/os-quota-class-sets: the limits of all projects that have none of their own (class `default`)."""

from __future__ import annotations

from typing import Any

from cinder_lite import quota
from cinder_lite.api.schemas import answers
from cinder_lite.api.schemas import quota_classes as schemas
from lite_common.wsgi import expose


class QuotaClassesController:
    """Quota classes."""

    def __init__(self, quotas: quota.QuotaEngine) -> None:
        self._quotas = quotas

    @expose.expose(answer=answers.QUOTA_CLASS)
    def show(self, request: expose.ApiRequest, name: str) -> dict[str, Any]:
        """The class's limits (admin)."""
        return {"quota_class_set": {"id": name, **self._quotas.class_limits(name)}}

    @expose.expose(body=schemas.UPDATE, answer=answers.QUOTA_CLASS)
    def update(self, request: expose.ApiRequest, name: str) -> dict[str, Any]:
        """Set limits of the class (admin)."""
        self._quotas.set_class_limits(name, request.body["quota_class_set"])
        return {"quota_class_set": self._quotas.class_limits(name)}
