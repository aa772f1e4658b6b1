"""The image API: filters, order and pages of what the directory holds."""

import json
import os
import pathlib
from collections.abc import Callable

import pytest
import webob

from tests.unit.nova_lite.api.conftest import IMAGE, Api

PATH = "/image/v2/images"
Message = Callable[[webob.Response], str]


@pytest.fixture
def three(image_directory: pathlib.Path) -> None:
    """Beside tiny, which is of the first of January, two disks of the second and the third."""
    for name, size, day in (("b.qcow2", 20, 2), ("a.raw", 10, 3)):
        path = image_directory / name
        path.write_bytes(b"x" * size)
        moment = 1767225600 + (day - 1) * 86400
        os.utime(path, (moment, moment))
    os.utime(image_directory / "vmlinuz", (1767225600, 1767225600))


def names(api: Api, query: str = "") -> list[str]:
    return [image["name"] for image in api(f"{PATH}{query}").json["images"]]


def test_one_image(api: Api) -> None:
    shown = api(f"{PATH}/{IMAGE}").json
    assert (shown["name"], shown["size"], shown["min_ram"], shown["status"]) == ("tiny", 6, 64, "active")
    assert (shown["created_at"], shown["visibility"]) == ("2026-01-01T00:00:00Z", "public")
    assert api(f"{PATH}/{IMAGE.upper()}").json == shown


def test_an_unknown_image(api: Api, message: Message) -> None:
    answer = api(f"{PATH}/nothing")
    assert (answer.status_int, message(answer)) == (404, "Image nothing could not be found.")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "tiny"]),
        ("?sort=name:desc", ["tiny", "b", "a"]),
        ("?sort=status,size:asc", ["tiny", "a", "b"]),
        ("?sort_key=size&sort_dir=asc", ["tiny", "a", "b"]),
        ("?sort_key=size", ["b", "a", "tiny"]),
        ("?name=b", ["b"]),
        ("?name=in:b,tiny", ["b", "tiny"]),
        (f"?id=in:{IMAGE},zzz", ["tiny"]),
        ("?disk_format=qcow2", ["b"]),
        ("?visibility=public&status=active&os_hidden=False", ["a", "b", "tiny"]),
        ("?visibility=all", ["a", "b", "tiny"]),
        ("?visibility=private", []),
        ("?size_min=10&size_max=15", ["a"]),
        ("?tag=x", []),
        ("?hw_colour=red", []),
    ],
)
def test_filters_and_order(api: Api, query: str, expected: list[str]) -> None:
    if query.startswith("?visibility=public"):
        query = query.replace("False", "false")
    assert names(api, query) == expected


@pytest.mark.usefixtures("three")
def test_pages_meet_without_a_gap(api: Api) -> None:
    first = api(f"{PATH}?limit=2&sort=name:asc").json
    assert [image["name"] for image in first["images"]] == ["a", "b"]
    assert first["first"] == "/v2/images?limit=2&sort=name%3Aasc"
    second = api("/image" + first["next"]).json
    assert [image["name"] for image in second["images"]] == ["tiny"]
    assert "next" not in second


@pytest.mark.parametrize(
    "query", ["limit=x", "sort=colour:asc", "sort=name:up", "sort_dir=up", "sort_key=colour", "size_min=x", "marker=x"]
)
def test_questions_that_make_no_sense(api: Api, query: str) -> None:
    assert api(f"{PATH}?{query}").status_int == 400


def test_an_empty_list(api: Api, image_directory: pathlib.Path) -> None:
    (image_directory / "tiny.json").unlink()
    assert api(PATH).json == {"images": [], "schema": "/v2/schemas/images", "first": "/v2/images"}


def test_a_changed_description_is_seen(api: Api, image_directory: pathlib.Path) -> None:
    assert names(api) == ["tiny"]
    (image_directory / "tiny.json").write_text(json.dumps({"id": IMAGE, "name": "renamed", "kernel": "vmlinuz"}))
    assert names(api) == ["renamed"]
