"""Names and ids, failures of the APIs, and the services table."""

import socket
import threading

import pytest

from nova_lite.cli import config, main
from tests.unit.nova_lite.cli import conftest


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_an_id_is_looked_up_before_a_name(nlite, stack):
    real = stack.volume("v1")
    stack.volume(real["id"])
    assert nlite("volume-show", real["id"], "-f", "json").json()["name"] == "v1"


def test_a_name_that_looks_like_an_id_is_found_too(nlite, stack):
    name = "11111111-2222-3333-4444-555555555555"
    stack.volume(name)
    assert nlite("volume-show", name, "-f", "json").json()["name"] == name


@pytest.mark.parametrize("kind", ["server", "volume"])
def test_an_ambiguous_name_lists_the_ids(nlite, stack, kind):
    make = getattr(stack, kind)
    ids = [make("twin")["id"], make("twin")["id"]]
    result = nlite("show" if kind == "server" else "volume-show", "twin")
    assert result.code == 1
    assert result.err.splitlines() == [
        f"error: 2 {kind}s are named 'twin': {ids[0]}, {ids[1]}",
        "hint: say which one by its id",
    ]


def test_a_name_is_not_a_pattern_nor_a_prefix(nlite, stack):
    stack.server("c1-old")
    wanted = stack.server("c1")
    stack.server("a+b (ä)")
    assert nlite("show", "c1", "-f", "json").json()["id"] == wanted["id"]
    assert nlite("show", "a+b (ä)", "-f", "json").json()["name"] == "a+b (ä)"
    assert nlite("show", "c.").code == 1


@pytest.mark.parametrize("command", ["volume-delete", "delete"])
def test_an_empty_name_chooses_nothing(nlite, stack, command):
    stack.volume("")
    stack.server("")
    result = nlite(command, "")
    assert result.code == 1
    assert not stack.sent("DELETE")


def test_a_name_on_the_last_page_is_found(nlite, stack):
    stack.page_size = 1
    for number in range(4):
        stack.server(f"c1-{number}")
    stack.server("c1")
    assert nlite("show", "c1").code == 0


@pytest.mark.parametrize(
    ("argv", "kind"),
    [(["show", "x"], "server"), (["volume-show", "x"], "volume"), (["boot", "n", "--image", "x"], "image")],
)
def test_what_does_not_exist_is_named_with_the_list_command(nlite, argv, kind):
    result = nlite(*argv)
    assert result.code == 1
    assert f"error: no {kind} has the name or id 'x'" in result.err
    assert "-list`" in result.err or "`nlite list`" in result.err


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 413, 500, 503])
def test_every_refusal_is_one_message_and_at_most_one_hint(nlite, stack, status):
    stack.refuse("GET", "/volumes/detail", status, "the reason", "someFault")
    result = nlite("volume-list")
    assert result.code == 1
    lines = result.err.splitlines()
    assert lines[0] == "error: the reason"
    assert len(lines) == (1 if status == 400 else 2)
    if status >= 500:
        assert "req-1" in lines[1]


def test_an_error_body_of_keystone_is_understood(nlite, stack):
    stack.refusals.append(("GET", "/volumes", 401, {"error": {"code": 401, "message": "sign in", "title": "x"}}))
    assert nlite("volume-list").err.startswith("error: sign in\n")


def test_an_error_without_a_body_shows_the_status(nlite, stack):
    stack.refusals.append(("GET", "/volumes", 502, b"<html>bad gateway</html>"))
    assert "answered 502" in nlite("volume-list").err


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[1, 2]"])
def test_an_answer_that_is_not_from_an_api(nlite, stack, body):
    stack.refusals.append(("GET", "/volumes", 200, body))
    result = nlite("volume-list")
    assert result.code == 1
    assert "does not speak the language of an OpenStack API" in result.err
    assert "--volume-url" in result.err


def test_an_api_that_is_down_is_named_with_how_to_start_it(closed_port):
    result = conftest.run_nlite("--volume-url", f"http://127.0.0.1:{closed_port}/v3", "volume-list")
    assert result.code == 1
    assert result.err.splitlines() == [
        f"error: cannot reach cinder-api at http://127.0.0.1:{closed_port}/v3: connection refused",
        "hint: start the stack with ./devstack/stack.sh, or name another with --volume-url or --os-cloud",
    ]


def test_an_api_that_never_answers_ends_in_time(monkeypatch):
    monkeypatch.setattr(config, "HTTP_TIMEOUT", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        result = conftest.run_nlite("--volume-url", f"http://127.0.0.1:{listener.getsockname()[1]}", "volume-list")
    assert result.code == 1
    assert "timed out" in result.err


def test_an_api_that_hangs_up(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        hang_up = threading.Thread(target=lambda: listener.accept()[0].close())
        hang_up.start()
        result = conftest.run_nlite("--volume-url", f"http://127.0.0.1:{listener.getsockname()[1]}", "volume-list")
        hang_up.join(timeout=5)
    assert result.code == 1
    assert "cannot reach cinder-api" in result.err


def test_requests_name_their_microversion_and_the_token(nlite, stack):
    nlite("--token", "eve:lab", "volume-list")
    nlite("list")
    _, _, _, first = stack.requests[0]
    _, _, _, second = stack.requests[1]
    assert (first["OpenStack-API-Version"], first["X-Auth-Token"]) == ("volume 3.44", "eve:lab")
    assert second["OpenStack-API-Version"] == "compute 2.79"
    assert "X-Auth-Token" not in second


def service(binary, state="up"):
    return {
        "binary": binary,
        "host": "node1",
        "zone": "nova",
        "status": "enabled",
        "state": state,
        "updated_at": "2026-01-01T00:00:00",
        "disabled_reason": None,
    }


def test_service_list_joins_nova_and_cinder(nlite, stack):
    stack.services["compute"] = [service("nova-compute")]
    stack.services["volume"] = [service("cinder-scheduler"), service("cinder-volume", "down")]
    rows = nlite("service-list", "-f", "json").json()
    assert [(row["Binary"], row["State"]) for row in rows] == [
        ("nova-compute", "up"),
        ("cinder-scheduler", "up"),
        ("cinder-volume", "down"),
    ]


def test_service_list_shows_one_half_when_the_other_api_is_down(nlite, stack, closed_port):
    stack.services["compute"] = [service("nova-compute")]
    result = nlite("--volume-url", f"http://127.0.0.1:{closed_port}", "service-list", "-f", "json")
    assert result.code == 1
    assert [row["Binary"] for row in result.json()] == ["nova-compute"]
    assert "cannot reach cinder-api" in result.err


def test_an_unexpected_exception_is_called_a_defect(nlite, stack):
    stack.refusals.append(("GET", "/v2.1/os-services", 200, {"nonsense": 1}))
    result = nlite("service-list")
    assert result.code == 1
    assert result.err.startswith("error: nlite failed on an unexpected KeyError")
    assert "--debug" in result.err
    assert "Traceback" not in result.err


def test_debug_shows_the_traceback_and_the_requests(nlite, stack):
    result = nlite("--debug", "volume-show", "x")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "/v3/volumes/detail?name=x" in result.err


def test_a_second_run_in_one_process_starts_afresh(nlite, stack):
    stack.volume("v1")
    assert nlite("volume-list", "-f", "json").json()[0]["Name"] == "v1"
    assert len(nlite("volume-show", "x").err.splitlines()) == 2
    assert len(main.Nlite.LOG.handlers) == 1
