"""Requests that are broken below the level of fields: bytes, headers, sizes, nesting. Each is a 4xx in the API's form.

What is asked here must never be a 5xx: whoever can reach the port can send it.
"""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib import parse

import pytest
import requests

from tests.fixtures import stack as stacks
from tests.functional.world import NOBODY, World


@pytest.fixture(scope="module")
def own(stack: stacks.FunctionalStack) -> World:
    """Somebody who owns nothing."""
    return World(stack, "ann:broken")


def refused(answer: requests.Response, status: int, *words: str) -> None:
    """One fault in the API's form, with that status and these words."""
    assert answer.status_code == status, answer.text[:500]
    ((_, fault),) = answer.json().items()
    assert fault["code"] == status
    assert not [word for word in words if word not in fault["message"]], fault


VOLUME_QUERIES = {
    "a size of another alphabet": ("/volumes?size=%C2%B2", "size"),
    "a size of thousands of digits": ("/volumes?size=" + "9" * 5000, "size"),
    "a limit of another alphabet": ("/volumes?limit=%D9%A1", "limit"),
    "an offset of thousands of digits": ("/volumes?offset=" + "9" * 5000, "offset"),
    "metadata with a key that cannot be one": ("/volumes?metadata=" + parse.quote("{[]: 1}"), "metadata"),
    "metadata that is a call": ("/volumes?metadata=" + parse.quote("__import__('os')"), "metadata"),
    "metadata nested without end": ("/volumes?metadata=" + "(" * 4000, "metadata"),
    "a time before all times": ("/volumes?created_at=0001-01-01T00:00:00%2B23:00", "created_at"),
    "a time after all times": ("/volumes?updated_at=9999-12-31T23:59:59-23:00", "updated_at"),
    "metadata like something": ("/volumes?metadata~=x", "metadata"),
    "a time like something": ("/volumes?created_at~=2026", "created_at"),
    "a marker that is no text": ("/volumes?marker=%FF%FE", ""),
    "a time of snapshots before all times": ("/snapshots?created_at=0001-01-01T00:00:00%2B23:00", "created_at"),
    "specs that cannot be keys": ("/types?extra_specs=" + parse.quote("{[]: 1}"), "extra_specs"),
    "an offset of messages of thousands of digits": ("/messages?offset=" + "9" * 5000, "offset"),
}
COMPUTE_QUERIES = {
    "a limit of another alphabet": ("/servers?limit=%D9%A1", "limit"),
    "a limit of thousands of digits": ("/servers?limit=" + "9" * 5000, "limit"),
    "a time before all times": ("/servers?changes-since=0001-01-01T00:00:00%2B23:00", "changes-since"),
    "a time after all times": ("/servers?changes-since=9999-12-31T23:59:59-23:00", "changes-since"),
    "a sort key that is none": ("/servers?sort_key=%00", "sorted by"),
    "a time of actions after all times": (
        f"/servers/{NOBODY}/os-instance-actions?changes-since=9999-12-31T23:59:59-23:00",
        "changes-since",
    ),
    "an image list of another alphabet": ("/../image/v2/images?limit=%D9%A1", "limit"),
}


@pytest.mark.parametrize("name", VOLUME_QUERIES)
def test_a_query_that_makes_no_sense_to_cinder_api(own: World, name: str) -> None:
    path, word = VOLUME_QUERIES[name]
    answer = own.volumes("GET", path)
    refused(answer, 404 if "marker" in path else 400, word)


@pytest.mark.parametrize("name", COMPUTE_QUERIES)
def test_a_query_that_makes_no_sense_to_nova_api(own: World, name: str) -> None:
    path, word = COMPUTE_QUERIES[name]
    refused(own.compute("GET", path), 400, word)


def both(own: World) -> list[tuple[Any, str]]:
    return [(own.compute, "/servers"), (own.volumes, "/volumes")]


def test_too_many_query_parameters(own: World) -> None:
    query = "&".join(f"a{number}=1" for number in range(300))
    for ask, path in both(own):
        refused(ask("GET", f"{path}?{query}"), 400, "parameters")


def test_unknown_query_parameters_by_version(own: World) -> None:
    for version, status in (("2.1", 200), ("2.74", 200), ("2.75", 400), ("2.101", 400)):
        answer = own.compute("GET", "/servers?colour=red", OpenStack_API_Version=f"compute {version}")
        assert answer.status_code == status, (version, answer.text)
    for version, status in (("3.0", 200), ("3.30", 200), ("3.31", 400), ("3.69", 400)):
        for path in ("/volumes", "/attachments") if version > "3.27" else ("/volumes",):
            answer = own.volumes("GET", f"{path}?colour=red", OpenStack_API_Version=f"volume {version}")
            assert answer.status_code == status, (path, version, answer.text)


@pytest.mark.parametrize("path", ["%ff", "%c3%28/x", "%ed%a0%80"])
def test_a_path_that_is_no_text(own: World, path: str) -> None:
    for ask, start in both(own):
        refused(ask("GET", f"{start}/{path}"), 400, "URL")


@pytest.mark.parametrize("name", ["%00", "%0d%0aX-Evil:1", "%e2%80%ae", "..%2f..", "%20", "a" * 5000])
def test_a_name_in_a_path_that_names_nothing(own: World, name: str) -> None:
    for ask, start in both(own):
        for method in ("GET", "DELETE"):
            answer = ask(method, f"{start}/{name}")
            refused(answer, 404)
            assert "X-Evil" not in answer.headers


BODIES = {
    "text": b'"x"',
    "null": b"null",
    "a number": b"1",
    "NaN": b'{"volume": {"size": NaN}}',
    "two": b"{}{}",
    "a comma at the end": b'{"a": 1,}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"volume": {}}'.encode("utf-16"),
    "an overlong NUL": b'{"a": "\xc0\x80"}',
    "half a pair": b'{"a": "\\udc00"}',
    "a control character": b'{"a": "\x01"}',
    "lists in lists": b'{"volume": {"size": ' + b"[" * 300 + b"]" * 300 + b"}}",
    "more lists in lists": b'{"volume": {"name": ' + b"[" * 1000 + b"]" * 1000 + b"}}",
    "objects in objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "lists without end": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_broken(own: World, name: str) -> None:
    for ask, path in both(own):
        refused(ask("POST", path, BODIES[name]), 400, "Malformed request body")


def test_deep_nesting_where_anything_is_allowed(own: World) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    connector = {"host": "h", "initiator": "iqn.1993-08.org.debian:01:h", "ip": "127.0.0.1", "more": deep}
    body = {"attachment": {"volume_uuid": NOBODY, "connector": connector}}
    refused(own.volumes("POST", "/attachments", body), 400, "Malformed request body")
    refused(own.compute("POST", f"/servers/{NOBODY}/action", {"os-start": deep}), 400, "Malformed request body")


def test_the_last_of_two_equal_keys_counts(own: World) -> None:
    """As in Nova and Cinder: so does Python's own reader."""
    body = b'{"volume": {"size": 1, "size": 0}}'
    refused(own.volumes("POST", "/volumes", body), 400, "Volume size '0'")
    body = b'{"volumeAttachment": {"volumeId": "%s"}, "volumeAttachment": {"volumeId": "x"}}' % NOBODY.encode()
    refused(own.compute("POST", f"/servers/{NOBODY}/os-volume_attachments", body), 400, "volumeId")


@pytest.mark.parametrize("size", [114_689, 10_000_000])
def test_a_body_that_is_too_long(own: World, size: int) -> None:
    for ask, path in both(own):
        answer = ask("POST", path, b"x" * size)
        refused(answer, 413, str(size))
        assert answer.headers["Retry-After"] == "0"


def test_a_body_that_is_too_long_in_pieces(own: World) -> None:
    """Without a Content-Length the server counts what comes."""
    pieces = iter([b"x" * 1_000_000] * 10)
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{own.stack.volume_url}/volumes", data=pieces, headers=headers, timeout=60)
    refused(answer, 413)


@pytest.mark.parametrize("url", ["compute_url", "volume_url"])
def test_a_body_that_would_fill_the_disk_is_not_awaited(stack: stacks.FunctionalStack, url: str) -> None:
    where = parse.urlsplit(getattr(stack, url))
    with socket.create_connection((where.hostname, where.port), timeout=10) as sock:
        head = f"POST {where.path}/servers HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 2000000000\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


VERSIONS = [
    "9" * 5000,
    "1." + "9" * 5000,
    "2.1.1",
    "2.01",
    "-2.1",
    "2.1 2.2",
    "2,1",
    "0x2.1",
    "2.\xb2",
    "latest 2.1",
    "NaN",
]


@pytest.mark.parametrize("asked", VERSIONS, ids=lambda text: text[:12])
def test_a_microversion_that_cannot_be_read(own: World, asked: str) -> None:
    encoded: Any = asked.encode("latin-1")
    for ask, path, kind in ((own.compute, "/servers", b"compute "), (own.volumes, "/volumes", b"volume ")):
        answer = ask("GET", path, OpenStack_API_Version=kind + encoded)
        if asked == "2,1":  # two entries: the second names no service
            assert answer.status_code in (400, 406)
            continue
        refused(answer, 400, "API Version String")


@pytest.mark.parametrize("asked", ["identity 3.0", "", "compute", "volume", ",,,", "banana"])
def test_a_version_header_for_somebody_else_means_the_first_version(own: World, asked: str) -> None:
    for ask, path, first in ((own.compute, "/servers", "compute 2.1"), (own.volumes, "/volumes", "volume 3.0")):
        answer = ask("GET", path, OpenStack_API_Version=asked)
        assert (answer.status_code, answer.headers["OpenStack-API-Version"]) == (200, first)


@pytest.mark.parametrize("accept", ["", "text/html", "application/xml", "*/*;q=x", "application/json;version=9", "é"])
def test_what_the_client_accepts_is_not_negotiated(own: World, accept: str) -> None:
    sent: Any = accept.encode("latin-1")
    for ask, path in both(own):
        answer = ask("GET", path, Accept=sent)
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, "application/json")


@pytest.mark.parametrize(
    "kind", ["application/xml", "json", "application/json+x", "multipart/form-data", "a/b;c=d", "/", "é"]
)
def test_a_content_type_that_is_not_read(own: World, kind: str) -> None:
    sent: Any = kind.encode("latin-1")
    for ask, path in both(own):
        refused(ask("POST", path, b"{}", Content_Type=sent), 415, "Unsupported Content-Type")


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW"])
def test_a_method_that_is_not_there(own: World, method: str) -> None:
    for ask, path in both(own):
        answer = ask(method, path)
        refused(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD, POST"


def test_head_is_get_without_a_body(own: World) -> None:
    for ask, path in both(own):
        shown, told = ask("GET", path), ask("HEAD", path)
        assert (told.status_code, told.content) == (200, b"")
        assert told.headers["Content-Length"] == shown.headers["Content-Length"]
        missing = ask("HEAD", f"{path}/{NOBODY}")
        assert (missing.status_code, missing.content) == (404, b"")


def test_who_somebody_is_has_a_limit(own: World) -> None:
    for token in ("ann:" + "p" * 256, "u" * 256 + ":p"):
        for ask, path in both(own):
            refused(ask("GET", path, X_Auth_Token=token), 401)


def test_ids_of_requests_are_believed_only_if_they_are_ids(own: World) -> None:
    for told in ("req-x", "req-" + "0" * 36, "<script>", "a" * 5000):
        answer = own.volumes("GET", "/volumes", X_OpenStack_Request_ID=told)
        assert answer.status_code == 200
        assert told not in json.dumps(dict(answer.headers))
