"""Step records of requests as the two APIs tell them: made step by step, with times that add up."""

import datetime
import typing

Record = dict[str, typing.Any]

SERVER = "11111111-1111-4111-8111-111111111111"
VOLUME = "22222222-2222-4222-8222-222222222222"
ATTACHMENT = "33333333-3333-4333-8333-333333333333"
ATTACH = "req-aaaaaaaa-0000-4000-8000-000000000001"
DETACH = "req-dddddddd-0000-4000-8000-000000000002"
BEGAN = datetime.datetime(2026, 11, 22, 1, 2, 3, 123000, tzinfo=datetime.UTC)
HOSTS = {"nova-compute": "compute1"}


class Story:
    """The records of one request; times are milliseconds after its begin. `clocks` are errors of hosts' clocks."""

    def __init__(self, request_id: str, after: float = 0.0, clocks: dict[str, float] | None = None) -> None:
        self.request_id = request_id
        self.records: list[Record] = []
        self._began = BEGAN + datetime.timedelta(seconds=after)
        self._clocks = clocks or {}
        # A process counts on from request to request.
        self._first = 16 + 100 * int(request_id[-2:])
        self._numbers: dict[str, int] = {}

    def step(
        self,
        service: str,
        name: str,
        start: float,
        end: float | None,
        *,
        parent: Record | None = None,
        error: str | None = None,
        outcome: str | None = None,
        user: str | None = "ann",
        **ids: str,
    ) -> Record:
        """Add a step and return its record."""
        host = HOSTS.get(service, "controller")
        self._numbers[service] = self._numbers.get(service, self._first) + 1
        record = {
            "request_id": self.request_id,
            "service": service,
            "host": host,
            "process": f"{len(service)}@2026-11-22T00:00:00.000000Z",
            "number": self._numbers[service],
            "parent": None if parent is None else parent["number"],
            "step": name,
            "ids": {"server": SERVER, "volume": VOLUME} | ids
            if service.startswith("nova")
            else {"volume": VOLUME} | ids,
            "project_id": None if user is None else "demo",
            "user_id": user,
            "started_at": self._time(host, start),
            "finished_at": None if end is None else self._time(host, end),
            "outcome": outcome or ("error" if error else "running" if end is None else "ok"),
            "error": error,
            "error_type": "BackendError" if error else None,
        }
        self.records.append(record)
        return record

    def _time(self, host: str, milliseconds: float) -> str:
        moment = self._began + datetime.timedelta(milliseconds=milliseconds, seconds=self._clocks.get(host, 0.0))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def attach(
    request_id: str = ATTACH,
    after: float = 0.0,
    clocks: dict[str, float] | None = None,
    fails: str = "",
    dies: str = "",
    until: str = "",
) -> list[Record]:
    """Return the records of an attach; it may fail or die at `connect_volume` or `create_export`, or have come as far
    as the begin of the step `until`."""
    story = Story(request_id, after, clocks)
    add = story.step
    add("nova-api", "check_server", 0, 1.2)
    add("nova-api", "check_volume", 1.3, 3.9)
    add("nova-api", "reserve_block_device_name", 4, 7.5)
    add("nova-api", "create_attachment", 7.6, 12.2)
    add("cinder-api", "attachment_create", 8.8, 11.6, server=SERVER)
    add("nova-api", "hand_over", 12.3, 15.4)
    add("nova-compute", "get_connector", 17, 17.1)
    broken = "tgtd did not answer; start it, then attach again." if fails == "create_export" else None
    add("nova-compute", "update_attachment", 17.2, 30.9, error=broken)
    outer = add("cinder-api", "attachment_update", 18.4, 30.1, error=broken, attachment=ATTACHMENT)
    outer = add("cinder-volume", "attachment_update", 20, 29.3, error=broken, attachment=ATTACHMENT)
    add("cinder-volume", "create_export", 20.8, 25.6, parent=outer, error=broken)
    if broken:
        return story.records
    add("cinder-volume", "grant_access", 25.7, 25.8, parent=outer)
    refused = "The iSCSI portal 10.0.0.1:3260 refused the login of iqn.2026-11.org:compute1: authorization failure."
    if until == "connect_volume":
        add("nova-compute", "connect_volume", 31, None)
        return story.records
    if dies == "connect_volume":
        add("nova-compute", "connect_volume", 31, None, outcome="died")
        return story.records
    add("nova-compute", "connect_volume", 31, 33.5, error=refused if fails == "connect_volume" else None)
    if fails == "connect_volume":
        add("nova-compute", "delete_attachment", 33.6, 41)
        add("cinder-api", "attachment_delete", 34.7, 40.3, attachment=ATTACHMENT)
        inner = add("cinder-volume", "terminate_connection", 36, 39.4, attachment=ATTACHMENT)
        add("cinder-volume", "remove_export", 36.4, 39.2, parent=inner)
        return story.records
    add("nova-compute", "attach_to_guest", 33.6, 54.9)
    add("nova-compute", "complete_attachment", 55, 60.7)
    add("cinder-api", "attachment_complete", 56.1, 60, attachment=ATTACHMENT)
    return story.records


def detach(request_id: str = DETACH, after: float = 60.0) -> list[Record]:
    """Return the records of a detach that works."""
    story = Story(request_id, after)
    add = story.step
    add("nova-api", "check_server", 0, 1)
    add("nova-api", "check_volume", 1.1, 1.9)
    add("nova-api", "begin_detaching", 2, 5)
    add("cinder-api", "os_begin_detaching", 3, 4.5)
    add("nova-api", "hand_over", 5.1, 8)
    add("nova-compute", "detach_from_guest", 9, 40)
    add("nova-compute", "disconnect_volume", 40.1, 40.2)
    add("nova-compute", "delete_attachment", 40.3, 52)
    add("cinder-api", "attachment_delete", 41.5, 51, attachment=ATTACHMENT)
    inner = add("cinder-volume", "terminate_connection", 43, 49, attachment=ATTACHMENT)
    add("cinder-volume", "remove_export", 43.5, 48.8, parent=inner)
    add("nova-compute", "delete_block_device", 52.1, 54)
    return story.records


def sides(records: list[Record]) -> dict[str, list[Record]]:
    """Return the records as the two services keep them."""
    return {side: [record for record in records if record["service"].startswith(side)] for side in ("nova", "cinder")}
