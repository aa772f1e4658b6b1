"""The program itself: help, usage errors, the table of commands, formats."""

import errno
import importlib
import io
import os
import pathlib
import subprocess
import sys

import pytest

from nova_lite.cli import main

ALL = [(name, place, text) for group in main.COMMANDS.values() for name, (place, text) in group.items()]


@pytest.mark.parametrize(("name", "place", "text"), ALL)
def test_the_table_tells_what_the_class_says(name, place, text):
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(f"nova_lite.cli.{module}"), attribute)
    assert command.__doc__.splitlines()[0] == text


@pytest.mark.parametrize("name", [name for name, _, _ in ALL])
def test_every_command_explains_itself(nlite, name):
    for argv in ([name, "--help"], ["help", name]):
        result = nlite(*argv)
        assert result.code == 0
        assert f"usage: nlite {name}" in result.out


def test_help_lists_every_command(nlite, stack):
    result = nlite("--help")
    assert result.code == 0
    assert nlite("help") == result
    assert all(f"  {name} " in result.out for name, _, _ in ALL)
    assert stack.requests == []


def test_no_command_at_all_is_a_usage_error(nlite):
    result = nlite()
    assert result.code == 2
    assert result.out == ""
    assert "volume-attach" in result.err


def test_an_unknown_command_suggests_the_near_ones(nlite):
    result = nlite("volume-atach", "c1", "v1")
    assert result.code == 2
    assert result.out == ""
    assert "'volume-atach' is not a command" in result.err
    assert "volume-attach" in result.err


def test_an_unknown_global_option(nlite):
    result = nlite("--nonsense", "list")
    assert result.code == 2
    assert "unknown option --nonsense" in result.err


@pytest.mark.parametrize(
    "argv",
    [
        ["show"],
        ["volume-attach", "c1"],
        ["volume-create", "v1"],
        ["console", "c1", "--lines", "0"],
        ["boot", "c1", "--wait", "--timeout", "soon"],
        ["boot", "c1", "--wait", "--timeout", "-1"],
        ["boot", "c1", "--wait", "--timeout", "nan"],
        ["list", "-f", "nonsense"],
        ["list", "extra"],
    ],
)
def test_usage_errors_end_with_2_before_any_request(nlite, stack, argv, capsys):
    result = nlite(*argv)
    assert result.code == 2
    assert result.out == ""
    assert "usage: nlite" in capsys.readouterr().err
    assert stack.requests == []


def test_global_options_do_not_swallow_those_of_commands(nlite, stack):
    stack.images.append({"id": "img-1", "name": "lite"})
    stack.flavors.append({"id": "1", "name": "tiny", "vcpus": 1, "ram": 64, "disk": 0})
    assert nlite("boot", "c1", "--image", "lite").code == 0


@pytest.mark.parametrize("style", ["json", "yaml", "csv", "table", "value"])
def test_lists_come_in_every_format(nlite, stack, style):
    stack.volume("v1")
    result = nlite("volume-list", "-f", style)
    assert result.code == 0
    assert "v1" in result.out
    assert result.err == ""


@pytest.mark.parametrize("style", ["json", "yaml", "shell", "table", "value"])
def test_records_come_in_every_format(nlite, stack, style):
    stack.plug(stack.server("c1"), stack.volume("v1"))
    result = nlite("volume-show", "v1", "-f", style)
    assert result.code == 0
    assert "/dev/vdb" in result.out


def test_version(nlite, capsys):
    assert nlite("--version").code == 0
    assert main._version() in capsys.readouterr().out


def test_log_file_gets_the_messages_too(nlite, stack, tmp_path):
    assert nlite("--log-file", str(tmp_path / "log"), "show", "x").code == 1
    assert "no server has the name or id 'x'" in (tmp_path / "log").read_text()


def test_a_log_file_that_cannot_be_written(nlite, tmp_path):
    result = nlite("--log-file", str(tmp_path / "no" / "folder"), "list")
    assert result.code == 1
    assert result.err.splitlines()[0] == f"error: {tmp_path}/no/folder: No such file or directory"


class FullDisk(io.StringIO):
    """A stream that nothing can be written to."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_no_defect(nlite, stack):
    err = io.StringIO()
    assert main.Nlite(stdout=FullDisk(), stderr=err).run(["volume-list"]) == 1
    assert err.getvalue() == "error: No space left on device\nhint: check the disk and where the output goes\n"


def test_a_list_of_a_local_stack_imports_neither_the_sdk_nor_the_daemons(stack):
    program = (
        "import sys; from nova_lite.cli import main; "
        f"code = main.main(['--volume-url', '{stack.base}', 'volume-list', '-f', 'json']); "
        "heavy = {'openstack', 'sqlalchemy', 'oslo_messaging', 'pecan', 'cmd2', 'rich', 'lite_common'}; "
        "print(sorted(heavy & set(sys.modules)), code)"
    )
    root = pathlib.Path(main.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n[] 0\n"
