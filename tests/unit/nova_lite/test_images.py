"""The directory of images: what is an image, under which id, and what is left out."""

import datetime
import json
import logging
import os
import pathlib
import uuid

import pytest

from lite_common import errors
from nova_lite import images

ID = "5c2f8f4e-1f5e-4a53-9d5e-7c1f1c0f7a10"


def describe(directory: pathlib.Path, file: str, /, **members: object) -> None:
    (directory / file).write_text(json.dumps(members))


def test_an_absent_directory_has_no_images(tmp_path: pathlib.Path) -> None:
    store = images.ImageStore(str(tmp_path / "none"))
    assert store.all() == []
    with pytest.raises(errors.NotFound, match="Image x could not be found"):
        store.get("x")


def test_a_description_names_files_beside_it(tmp_path: pathlib.Path) -> None:
    for name in ("k", "r", "root.qcow2"):
        (tmp_path / name).write_bytes(b"12345")
    describe(tmp_path, "t.json", id=ID, name="tiny", kernel="k", ramdisk="r", cmdline="quiet", disk="root.qcow2",
             min_ram=64, min_disk=1, created_at="2026-01-01T02:00:00+02:00")  # fmt: skip
    (image,) = images.ImageStore(str(tmp_path)).all()
    assert (image.id, image.name, image.size, image.min_ram, image.min_disk) == (ID, "tiny", 15, 64, 1)
    assert (image.kernel, image.ramdisk, image.disk) == tuple(str(tmp_path / name) for name in ("k", "r", "root.qcow2"))
    assert (image.cmdline, image.disk_format) == ("quiet", "qcow2")
    assert image.created_at == datetime.datetime(2026, 1, 1)


def test_a_disk_alone_is_an_image_under_an_id_that_stays(tmp_path: pathlib.Path) -> None:
    for name in ("debian.qcow2", "debian.raw", "other.img", "notes.txt", ".hidden.raw"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "directory.raw").mkdir()
    found = {image.disk_format + image.name: image for image in images.ImageStore(str(tmp_path)).all()}
    assert set(found) == {"qcow2debian", "rawdebian", "rawother"}
    assert found["qcow2debian"].id == str(uuid.uuid5(images.NAMESPACE, "debian.qcow2"))
    assert len({image.id for image in found.values()}) == 3


def test_a_description_without_id_gets_one_that_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "k").write_bytes(b"x")
    describe(tmp_path, "t.json", kernel="k")
    first, second = (images.ImageStore(str(tmp_path)).all()[0] for _ in range(2))
    assert (first.id, first.name) == (second.id, "t")


@pytest.mark.parametrize(
    "told",
    [{"kernel": "absent"}, {}, {"kernel": 7}, {"kernel": ""}, {"kernel": "k", "id": "no"}, {"kernel": "k", "id": 7},
     {"kernel": "k", "min_ram": "much"}, {"kernel": "k", "created_at": "soon"}, {"disk": "k", "disk_format": "vmdk"},
     {"kernel": "k", "min_ram": []}, {"kernel": "k", "min_ram": True}, {"kernel": "k", "min_ram": -1},
     {"kernel": "k", "created_at": 7}],
)  # fmt: skip
def test_a_wrong_description_is_left_out_and_logged(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, told: dict[str, object]
) -> None:
    (tmp_path / "k").write_bytes(b"x")
    (tmp_path / "good.raw").write_bytes(b"x")
    describe(tmp_path, "wrong.json", **told)
    with caplog.at_level(logging.WARNING):
        assert [image.name for image in images.ImageStore(str(tmp_path)).all()] == ["good"]
    assert "wrong.json is left out" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
def test_what_is_no_json_object_is_left_out(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "wrong.json").write_text(text)
    assert images.ImageStore(str(tmp_path)).all() == []


def test_of_two_with_one_id_the_newer_stays(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "k").write_bytes(b"x")
    describe(tmp_path, "a.json", id=ID, kernel="k", created_at="2026-01-01T00:00:00Z")
    describe(tmp_path, "b.json", id=ID, kernel="k", created_at="2026-01-02T00:00:00Z")
    assert [image.name for image in images.ImageStore(str(tmp_path)).all()] == ["b"]
    assert f"two images have the id {ID}" in caplog.text


def test_changes_are_seen_without_a_restart(tmp_path: pathlib.Path) -> None:
    store = images.ImageStore(str(tmp_path))
    assert store.all() == []
    (tmp_path / "a.raw").write_bytes(b"x")
    assert [image.size for image in store.all()] == [1]
    (tmp_path / "a.raw").write_bytes(b"xyz")
    assert [image.size for image in store.all()] == [3]
    (tmp_path / "a.raw").unlink()
    assert store.all() == []


def test_nothing_is_read_again_when_nothing_changed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k").write_bytes(b"x")
    describe(tmp_path, "t.json", id=ID, kernel="k")
    store = images.ImageStore(str(tmp_path))
    first = store.get(ID)
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("read again"))
    assert store.get(ID.upper()) is first


def test_a_link_to_nowhere_is_no_image(tmp_path: pathlib.Path) -> None:
    os.symlink(tmp_path / "absent", tmp_path / "a.raw")
    assert images.ImageStore(str(tmp_path)).all() == []
