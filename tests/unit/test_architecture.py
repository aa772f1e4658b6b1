"""The rules that keep the tree readable, checked on the source itself: who may import what, who owns which edge,
who writes a status, how long a file or a function may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("lite_common", "nova_lite", "cinder_lite")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]

# Each library that touches the world has one owner: the places (path prefixes) that may import it.
OWNERS = {
    "pecan": ("lite_common/wsgi/",),
    "webob": ("lite_common/wsgi/",),
    "waitress": ("lite_common/wsgi/server.py",),
    "oslo_messaging": ("lite_common/rpc.py",),
    "sqlalchemy": (
        "lite_common/db.py",
        "lite_common/records.py",
        "lite_common/operations.py",
        "nova_lite/db/",
        "cinder_lite/db/",
    ),
    "oslo_db": (
        "lite_common/db.py",
        "lite_common/records.py",
        "lite_common/wsgi/faults.py",
        "nova_lite/db/",
        "cinder_lite/db/",
    ),
    "alembic": ("lite_common/db.py", "nova_lite/db/migrations/", "cinder_lite/db/migrations/"),
    "libvirt": ("nova_lite/virt/libvirt/",),
    "os_brick": ("nova_lite/volume/brick_",),
    "rtslib_fb": ("cinder_lite/privileged/lio",),
    "oslo_privsep": ("lite_common/privsep.py", "cinder_lite/privileged/", "nova_lite/privileged/"),
    "subprocess": ("cinder_lite/privileged/", "nova_lite/volume/", "nova_lite/virt/libvirt/", "cinder_lite/drivers/"),
    "keystoneauth1": ("lite_common/service_user.py", "lite_common/wsgi/keystone.py", "nova_lite/cli/"),
    "keystonemiddleware": ("lite_common/wsgi/keystone.py",),
    "oslo_policy": ("lite_common/policy.py", "nova_lite/policies.py", "cinder_lite/policies.py"),
    "urllib3": ("lite_common/rest.py", "nova_lite/cli/"),
    "openstack": ("nova_lite/cli/",),
    "taskflow": ("cinder_lite/",),
    "opentelemetry": ("lite_common/telemetry.py",),
}

# Layers of a service, lowest first; a module imports from its own layer and from those below.
# In nova_lite `volume` is a client of the other service, in cinder_lite it holds the operations.
LAYERS = (
    ("conf", "errors", "states", "flavors", "images"),
    ("db", "drivers", "targets", "privileged", "virt", "nova_lite.volume"),
    ("quota", "cinder_lite.volume", "compute", "scheduler"),
    ("api",),
    ("cmd", "cli"),
)
EDGE_LAYERS = ("drivers", "targets", "virt")


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> int | None:
    """The layer of `nova_lite.db.models` or the like; None for what has no layer."""
    parts = module.split(".")
    if len(parts) < 2 or parts[0] not in ("nova_lite", "cinder_lite"):
        return None
    wanted = {parts[1], f"{parts[0]}.{parts[1]}"}
    return next((number for number, names in enumerate(LAYERS) if wanted & set(names)), None)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_the_services_meet_only_over_rest(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    forbidden = set(PACKAGES) - {own, "lite_common"}
    assert not {name for name in imports(path) if name.split(".")[0] in forbidden}


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_every_edge_has_one_owner(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    for module in imports(path):
        owners = OWNERS.get(module.split(".")[0])
        assert owners is None or name.startswith(owners), f"{name} imports {module}"
        assert module.split(".")[0] != "eventlet"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_imports_point_downward(path: Path) -> None:
    own = layer(module_of(path))
    for module in imports(path):
        target = layer(module)
        assert own is None or target is None or target <= own, f"{path.name} imports {module}, which is above it"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_api_touches_no_driver_and_drivers_touch_no_database(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    for module in imports(path):
        below = module.split(".")[1:2]
        if len(parts) > 1 and parts[1] == "api":
            assert below not in ([edge] for edge in EDGE_LAYERS), module
        if len(parts) > 1 and parts[1] in EDGE_LAYERS:
            assert below != ["db"], module


@pytest.mark.parametrize("path", [p for p in SOURCES if "lite_common" in p.parts], ids=lambda p: p.name)
def test_common_code_does_not_know_the_domain(path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    names.discard("isinstance")
    assert not [name for name in names if any(word in name.lower() for word in ("volume", "instance", "attachment"))]


STATUS_COLUMNS = {"status", "attach_status", "vm_state", "task_state"}
STATUS_WRITERS = ("states.py", "/db/")


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_a_status_is_written_by_its_writer_only(path: Path) -> None:
    """`.values(status=...)` and assignments to a row's status stand in states.py and db/ only."""
    if any(place in str(path.relative_to(ROOT)) for place in STATUS_WRITERS):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            assert not {keyword.arg for keyword in node.keywords} & STATUS_COLUMNS, f"line {node.lineno}"
        if isinstance(node, ast.Assign):
            written = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            assert not written & (STATUS_COLUMNS - {"status"}), f"line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_sizes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 420
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= 60, f"{node.name} has {length} lines"
        if isinstance(node, ast.ClassDef):
            public = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
            assert len(public) <= 20, f"{node.name} has {len(public)} public methods"


# oslo.privsep and os-brick know no other; it is filled for them there.
GLOBAL_CONFIGURATION = ROOT / "lite_common" / "privilege.py"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent.name != "cli"], ids=lambda p: p.name)
def test_nothing_reads_a_global_configuration(path: Path) -> None:
    if path == GLOBAL_CONFIGURATION:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Attribute) and node.attr == "CONF"), f"line {node.lineno}"
