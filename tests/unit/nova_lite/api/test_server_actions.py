"""The actions on a server."""

from collections.abc import Callable
from typing import Any

import pytest
import webob

from tests.unit.nova_lite.api.conftest import SERVER, Api

PATH = f"/v2.1/servers/{SERVER}/action"
Message = Callable[[webob.Response], str]


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"os-start": None}, ("start", SERVER)),
        ({"os-stop": None}, ("stop", SERVER)),
        ({"os-stop": {}}, ("stop", SERVER)),
        ({"pause": None}, ("pause", SERVER)),
        ({"unpause": None}, ("unpause", SERVER)),
        ({"reboot": {"type": "SOFT"}}, ("reboot", SERVER, False)),
        ({"reboot": {"type": "Hard"}}, ("reboot", SERVER, True)),
    ],
)
def test_actions_are_begun(api: Api, body: dict[str, Any], call: tuple[Any, ...]) -> None:
    answer = api(PATH, "POST", json_=body)
    assert (answer.status_int, answer.body) == (202, b"")
    assert api.compute.calls == [call]


@pytest.mark.parametrize(("length", "lines"), [(5, 5), ("5", 5), (0, 0), (-1, None), ("-1", None), (None, None)])
def test_the_console_is_told(api: Api, length: Any, lines: int | None) -> None:
    answer = api(PATH, "POST", json_={"os-getConsoleOutput": {"length": length}})
    assert (answer.status_int, answer.json) == (200, {"output": "login:"})
    assert api.compute.calls == [("console_output", SERVER, lines)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"dance": None}, "There is no such action: dance"),
        ({}, "Malformed request body"),
        ({"os-stop": None, "os-start": None}, "Malformed request body"),
        ({"reboot": None}, "Invalid input for field/attribute reboot."),
        ({"reboot": {}}, "Invalid input for field/attribute reboot."),
        ({"reboot": {"type": "GENTLE"}}, "Invalid input for field/attribute type."),
        ({"reboot": {"type": "SOFT", "soon": True}}, "Invalid input for field/attribute reboot."),
        ({"os-getConsoleOutput": {"length": "long"}}, "Invalid input for field/attribute length."),
        ({"os-getConsoleOutput": {"length": -2}}, "Invalid input for field/attribute length."),
        ({"os-getConsoleOutput": {"length": "9" * 5000}}, "Invalid input for field/attribute length."),
        ({"os-getConsoleOutput": None}, "Invalid input for field/attribute os-getConsoleOutput."),
    ],
)
def test_actions_that_are_refused(api: Api, message: Message, body: dict[str, Any], told: str) -> None:
    answer = api(PATH, "POST", json_=body)
    assert answer.status_int == 400
    assert message(answer).startswith(told)
    assert api.compute.calls == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json; charset=UTF-8", 202), ("application/vnd.openstack.compute+json", 202), ("text/plain", 202),
     ("application/xml", 415)],
)  # fmt: skip
def test_content_types(api: Api, content_type: str, status: int) -> None:
    assert api(PATH, "POST", json_={"os-stop": None}, content_type=content_type).status_int == status
