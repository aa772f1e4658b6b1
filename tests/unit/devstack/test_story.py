"""What the story and the wait for services are made of, without a stack."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack import services, story
from devstack.guest import console

ROWS = [
    {"binary": "nova-compute", "host": "c1", "state": "up"},
    {"binary": "nova-compute", "host": "c2", "state": "down"},
    {"binary": "cinder-volume", "host": "ctl@lvm", "state": "up"},
]


@pytest.fixture
def api() -> Iterator[str]:
    """Give the root of an API that lists ROWS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v2.1/os-services" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"services": ROWS}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v2.1"
        server.shutdown()
        thread.join(5)


def test_a_service_is_known_by_name_or_by_name_and_host(api: str) -> None:
    wanted = ["nova-compute", "nova-compute@c1", "nova-compute@c2", "cinder-volume@ctl@lvm", "cinder-scheduler"]
    assert services.missing(wanted, [api]) == ["nova-compute@c2", "cinder-scheduler"]


def test_an_api_that_does_not_answer_shows_nothing(api: str) -> None:
    assert services.missing(["nova-compute"], ["http://127.0.0.1:9/v3", f"{api}/none"]) == ["nova-compute"]


def test_waiting_ends_with_what_is_missing(api: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--nova", api, "--cinder", "http://127.0.0.1:9/v3", "--seconds", "0"]
    assert services.main([*common, "nova-compute@c1"]) == 0
    assert services.main([*common, "nova-compute@c2"]) == 1
    assert "not up after 0 s: nova-compute@c2" in capsys.readouterr().err


def test_destinations_are_pairs() -> None:
    assert story.destinations(["c1=root@10.0.0.1", "c2=c2"]) == {"c1": "root@10.0.0.1", "c2": "c2"}
    with pytest.raises(story.StoryError, match="HOST=SSH, not c1 c2=x"):
        story.destinations(["c1", "c2=x"])


def test_stored_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "volume-x").write_bytes(console.pattern("seed", 1) + b"rest")
    assert story.stored_sha256(tmp_path / "volume-x", 1) == console.pattern_sha256("seed", 1)


class Client(story.Client):
    """Answers `show` with a host."""

    def table(self, *words: str) -> dict[str, str]:
        assert words == ("show", "s1")
        return {"host": "elsewhere"}


class Recorder(story.Client):
    """Answers lists from what it holds, and notes every command."""

    def __init__(self, tables: dict[str, Any]) -> None:
        super().__init__(Path("nlite"))
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "seen", [])

    def run(self, *words: str) -> str:
        self.seen.append(" ".join(words))  # type: ignore[attr-defined]  # set above, past the frozen class
        return ""

    def table(self, *words: str) -> Any:
        return self.tables[" ".join(words)]  # type: ignore[attr-defined]  # as above


def test_what_an_earlier_run_left_is_used_again_or_removed(tmp_path: Path) -> None:
    client = Recorder(
        {
            "list": [
                {"id": "1", "name": "c1", "status": "ACTIVE"},
                {"id": "2", "name": "c2", "status": "ERROR"},
                {"id": "3", "name": "mine", "status": "ERROR"},
            ],
            "volume-list": [{"id": "v", "name": "v1", "status": "available"}],
            "volume-attachments 1": [{"volume id": "v"}, {"volume id": "other"}],
            "volume-attachments 2": [],
        }
    )
    assert story.Story(client, tmp_path, tmp_path).clear_leftovers() == {"c1": "1", "v1": "v"}
    assert client.seen == ["volume-detach 1 v --wait", "delete 2 --wait"]  # type: ignore[attr-defined]  # as above


def test_a_console_on_another_host_needs_a_way(tmp_path: Path) -> None:
    tale = story.Story(Client(Path("nlite")), tmp_path, tmp_path)
    with (
        pytest.raises(story.StoryError, match=r"server s1 is on elsewhere: .* --via elsewhere=SSH"),
        tale.console("s1"),
    ):
        pass


def test_a_tunnel_that_ssh_does_not_make_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(story.StoryError, match=r"ssh root@x did not forward /c\.sock"):
        with story.tunnel("root@x", Path("/c.sock"), 10):
            pass


def test_a_tunnel_is_the_socket_that_ssh_makes_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(
        '#!/bin/sh\nPATH=/bin:/usr/bin\nfor w; do case $w in *:*) : >"${w%%:*}" ;; esac; done\nexec sleep 60\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with story.tunnel("root@x", Path("/c.sock"), 10) as local:
        assert local.exists()
    assert not local.parent.exists()
