"""The pure parts of `stack.sh --role`: what it refuses, writes and derives. Bash runs the real functions."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = "lib config settings probe supervised storage control hosts systemd roles"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Return a directory in the place of /etc/nlite."""
    made = tmp_path / "etc"
    made.mkdir()
    return made


def bash(etc: Path, script: str, *, fails: bool = False) -> str:
    """Run a script after the sources of stack.sh; return its output, or its error where it is to fail."""
    sources = "".join(f". devstack/{part}.sh\n" for part in PARTS.split())
    # Owners are for root to set; the functions under test are the same without.
    places = f"ETC={etc}; SETTINGS=$ETC/stack.conf; JOIN=$ETC/join; NLITE_STATE={etc}/state; chown() {{ :; }}\n"
    text = f"set -euo pipefail\n{sources}declare -A OPTION=()\n{places}load_settings\n{script}"
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NLITE_PATIENCE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def stack(*words: str) -> str:
    """Run stack.sh with arguments that it refuses, and return what it says."""
    done = subprocess.run(
        ["bash", "devstack/stack.sh", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--role", "master"], "--role takes controller, compute or all"),
        (["--backend", "magic"], "--backend takes kernel or userspace"),
        (["--lvm-type"], "--lvm-type takes auto, default or thin"),
        (["--disk"], "--disk takes a value"),
        (["--what"], "unknown argument: --what"),
    ],
)
def test_a_wrong_argument_is_named(words: list[str], said: str) -> None:
    assert said in stack(*words)


def test_settings_survive_a_run_and_options_go_over_them(etc: Path) -> None:
    bash(etc, "OPTION[role]=controller; OPTION[vg]=fast; apply_options; save_settings")
    told = bash(etc, "OPTION[lvm_type]=thin; apply_options; echo ${SET[role]} ${SET[vg]} ${SET[lvm_type]}")
    assert told.split() == ["controller", "fast", "thin"]
    assert (etc / "stack.conf").stat().st_mode & 0o777 == 0o600


def test_settings_are_data_and_never_run(etc: Path) -> None:
    (etc / "stack.conf").write_text("vg=$(touch ran)`touch ran`\nrole=all\n; touch ran\n")
    assert bash(etc, 'cd $ETC; echo "${SET[vg]}"') == "$(touch ran)`touch ran`\n"
    assert not (etc / "ran").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("OPTION[role]=compute", "--role compute needs --controller ADDRESS"),
        ("OPTION[role]=compute; OPTION[disk]=/dev/vdb", "--disk has no meaning for --role compute"),
        ("OPTION[role]=controller; OPTION[join]=x", "--join has no meaning for --role controller"),
        ("OPTION[database]=sqlite", "--database sqlite is for the supervised stack"),
    ],
)
def test_options_that_a_role_cannot_have_are_refused(etc: Path, options: str, said: str) -> None:
    assert said in bash(etc, f"{options}; apply_options", fails=True)


def test_a_host_keeps_its_role(etc: Path) -> None:
    bash(etc, "OPTION[role]=controller; apply_options; save_settings")
    assert "installed as controller: run unstack.sh" in bash(etc, "OPTION[role]=all; apply_options", fails=True)


def test_addresses_must_be_this_host_s(etc: Path) -> None:
    assert (
        bash(etc, "SET[my_ip]=127.0.0.1; choose_addresses; echo ${SET[compute_network]}").split()[-1] == "127.0.0.0/8"
    )
    refused = "SET[my_ip]={}; SET[role]={}; SET[controller]=192.0.2.1; choose_addresses"
    assert "192.0.2.7 is no address of this host" in bash(etc, refused.format("192.0.2.7", "all"), fails=True)
    assert "fish is no IP address" in bash(etc, refused.format("fish", "all"), fails=True)
    assert "other hosts cannot reach loopback" in bash(etc, refused.format("127.0.0.1", "compute"), fails=True)
    portal = "SET[my_ip]=127.0.0.1; SET[secondary_portals]=192.0.2.8; choose_addresses"
    assert "--secondary-portals: 192.0.2.8 is no address of this host" in bash(etc, portal, fails=True)


JOINING = """controller=192.0.2.10
backend=kernel
transport_url=rabbit://nova:x@192.0.2.10:5672/nova
database=mysql+mysqldb://nova:y@192.0.2.10:3306/nova?charset=utf8mb4
service_secret=z
"""


def test_the_join_file_must_be_private_complete_and_of_that_controller(etc: Path) -> None:
    path = etc / "copied"
    read = f"OPTION[join]={path}; SET[role]=compute; SET[controller]=192.0.2.10; read_join_file"
    assert "is not there: copy" in bash(etc, read, fails=True)
    path.write_text(JOINING)
    path.chmod(0o640)
    assert f"chmod 600 {path}" in bash(etc, read, fails=True)
    path.chmod(0o600)
    assert bash(etc, f"{read}; echo ${{JOINED[database]}}").strip().endswith("/nova?charset=utf8mb4")
    assert (etc / "join").read_text() == JOINING
    assert (etc / "join").stat().st_mode & 0o777 == 0o600
    assert "not of 192.0.2.11" in bash(etc, read.replace("=192.0.2.10", "=192.0.2.11"), fails=True)
    path.write_text(JOINING.replace("database=", "data="))
    assert "has no line database=" in bash(etc, read, fails=True)


def test_what_a_controller_writes_is_what_a_compute_host_reads(etc: Path) -> None:
    bash(etc, "SET[my_ip]=fd00::10; SET[backend]=kernel; write_join_file")
    read = "SET[role]=compute; SET[controller]=fd00:0::10; read_join_file"
    told = bash(etc, f"{read}; printf '%s\\n' ${{JOINED[transport_url]}} ${{JOINED[database]}}").split()
    passwords = {path.name: path.read_text() for path in (etc / "secrets").iterdir()}
    assert told[0] == f"rabbit://nova:{passwords['rabbitmq-nova']}@[fd00::10]:5672/nova"
    assert told[1] == f"mysql+mysqldb://nova:{passwords['database-nova']}@[fd00::10]:3306/nova?charset=utf8mb4"
    assert all(re.fullmatch("[0-9a-f]{32}", password) for password in passwords.values())
    assert (etc / "join").stat().st_mode & 0o777 == 0o600


def test_a_compute_host_never_learns_what_is_cinder_s(etc: Path) -> None:
    bash(
        etc,
        "SET[my_ip]=192.0.2.10; SET[backend]=kernel; secret database-cinder; secret rabbitmq-cinder; write_join_file",
    )
    joining = (etc / "join").read_text()
    assert "cinder" not in joining
    for name in ("database-cinder", "rabbitmq-cinder"):
        assert (etc / "secrets" / name).read_text() not in joining


def test_accounts_have_rights_to_their_own_database_from_where_they_are(etc: Path) -> None:
    sql = bash(etc, "SET[my_ip]=192.0.2.10; SET[compute_network]=192.0.2.0/24; account_sql nova; account_sql cinder")
    grants = re.findall(r"GRANT ALL ON `(\w+)`\.\* TO '(\w+)'@'([^']+)'", sql)
    assert sorted(grants) == [
        ("cinder", "cinder", "192.0.2.10"),
        ("nova", "nova", "192.0.2.0/255.255.255.0"),
        ("nova", "nova", "192.0.2.10"),
    ]
    alone = bash(etc, "SET[my_ip]=127.0.0.1; account_hosts nova; account_hosts cinder")
    assert alone.split() == ["127.0.0.1", "127.0.0.1"]


def test_rabbitmq_gets_two_users_with_hashed_passwords_and_a_virtual_host_each(etc: Path) -> None:
    places = (
        f"RABBIT_CONFIG={etc}/conf.d/x.conf; RABBIT_DEFINITIONS={etc}/defs.json; keep_rabbitmq_private() {{ :; }}\n"
    )
    script = f"{places}SET[my_ip]=192.0.2.10; configure_rabbitmq; cat {etc}/defs.json"
    first = bash(etc, script)
    assert first == bash(etc, script), "a second run must change nothing"
    assert "listeners.tcp.1 = 192.0.2.10:5672" in (etc / "conf.d" / "x.conf").read_text()
    told = json.loads(first)
    password = (etc / "secrets" / "rabbitmq-nova").read_bytes()
    hashed = base64.b64decode(told["users"][0]["password_hash"])
    assert hashed[4:] == hashlib.sha256(hashed[:4] + password).digest()
    assert password.decode() not in first
    assert [(row["user"], row["vhost"]) for row in told["permissions"]] == [("nova", "nova"), ("cinder", "cinder")]


def test_a_backend_that_was_asked_for_and_cannot_work_says_what_is_missing(etc: Path) -> None:
    script = "module_there() { [[ $1 != iscsi_tcp ]]; }; volume_group_there() { false; }; OPTION[backend]=kernel\n"
    said = bash(etc, f"{script}choose_backend", fails=True)
    assert "the kernel backend cannot work here, it lacks the kernel module iscsi_tcp; a volume group: give" in said
    chosen = bash(etc, f"{script}unset 'OPTION[backend]'; choose_backend; echo ${{SET[backend]}}")
    assert chosen.split()[-1] == "userspace"
    assert "it lacks the kernel module iscsi_tcp" in chosen


def test_the_kernel_is_taken_where_it_can_be(etc: Path) -> None:
    script = "module_there() { true; }; SET[disk]=/dev/null; choose_backend; echo ${SET[backend]} $(target_helper)"
    assert bash(etc, script).split()[-2:] == ["kernel", "lioadm"]
    compute = "module_there() { [[ $1 == iscsi_tcp ]]; }; SET[role]=compute; choose_backend; echo ${SET[backend]}"
    assert bash(etc, compute).split()[-1] == "kernel"


def test_the_configuration_of_both_backends_is_upstream_s_options(etc: Path) -> None:
    setting = "SET[my_ip]=192.0.2.10; SET[secondary_portals]=192.0.2.11; write_cinder_config; cat $ETC/cinder.conf"
    kernel = bash(etc, f"SET[backend]=kernel; {setting}")
    for line in ("enabled_backends = lvm", "volume_group = nlite-volumes", "target_helper = lioadm", "run_as = nlite"):
        assert line in kernel.splitlines(), line
    assert "target_secondary_ip_addresses = 192.0.2.11" in kernel.splitlines()
    assert "allow_noauth_on_network = true" in kernel.splitlines()
    userspace = bash(etc, f"SET[backend]=userspace; {setting}")
    for line in ("enabled_backends = file", "target_helper = tgtadm", "volume_driver = file"):
        assert line in userspace.splitlines(), line
    assert (etc / "cinder.conf").stat().st_mode & 0o777 == 0o640
    alone = bash(etc, "SET[backend]=kernel; SET[my_ip]=127.0.0.1; write_cinder_config; cat $ETC/cinder.conf")
    assert "allow_noauth_on_network" not in alone


def test_a_file_s_content_makes_a_disk_not_empty(etc: Path) -> None:
    assert "it is no block device" in bash(etc, "disk_content /etc/hostname")


def test_an_environment_with_more_extras_is_current(etc: Path) -> None:
    made = etc / "venv"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").symlink_to("/bin/true")
    mark = bash(etc, "cat setup.cfg pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1").strip()
    python = bash(etc, '"$PYTHON" --version').strip()
    check = f"limited() {{ echo installs; exit 0; }}; make_venv {made} stack"
    for extras, current in (("stack", True), ("stack,test", True), ("test", False), ("stackless", False)):
        (made / ".installed").write_text(f"{mark} {extras} {ROOT} {python}\n")
        assert ("is current" in bash(etc, check)) == current, extras
