"""The entry points: the schema by command, the API as a daemon, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from cinder_lite import conf as options
from cinder_lite.cmd import api, manage
from cinder_lite.db import migrations
from lite_common import config, errors


@pytest.fixture
def config_file(tmp_path: Path, unused_port: int) -> Path:
    path = tmp_path / "cinder.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\ntransport_url = fake://\nenabled_backends = one\n"
        f"[api]\nport = {unused_port}\n[database]\nconnection = sqlite:///{tmp_path}/cinder.sqlite\n"
        "[one]\nvolume_driver = fake\n"
    )
    return path


def test_db_sync_and_version(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config-file", str(config_file), "db"]
    assert manage.main([*argv, "version"]) == 1
    assert "db sync" in capsys.readouterr().err
    assert manage.main([*argv, "sync"]) == 0
    assert manage.main([*argv, "sync"]) == 0
    assert manage.main([*argv, "version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"is at revision {migrations.HEAD}")


def test_the_daemon_serves_what_it_is_told_to(config_file: Path, unused_port: int) -> None:
    argv = ["--config-file", str(config_file)]
    conf = config.load(options.PROJECT, api.NAME, [options.OPTIONS], argv, logs=False)
    built = api.build(conf)
    assert conf.one.volume_driver == "fake"
    with pytest.raises(errors.Unavailable, match="db sync"):
        built.start()
    manage.main([*argv, "db", "sync"])
    built.start()
    try:
        url = f"http://127.0.0.1:{unused_port}"
        assert requests.get(f"{url}/healthcheck", timeout=5).text == "OK\n"
        assert requests.get(f"{url}/v3/volumes", timeout=5).json() == {"volumes": []}
    finally:
        built.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/healthcheck", timeout=5)


def test_no_listening_to_everyone_without_authentication(config_file: Path) -> None:
    config_file.write_text(config_file.read_text().replace("[api]\n", "[api]\nlisten = 0.0.0.0\n"))
    conf = config.load(options.PROJECT, api.NAME, [options.OPTIONS], ["--config-file", str(config_file)], logs=False)
    with pytest.raises(errors.Forbidden, match="loopback only"):
        api.build(conf)


def test_the_sample_shows_every_option() -> None:
    shown = {option.name for _, group in options.list_opts() for option in group}
    assert {"enabled_backends", "quota_volumes", "volume_driver", "endpoint"} <= shown
