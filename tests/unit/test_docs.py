"""The docs name things that exist: drawn pages are fresh, named files and functions are there, links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

from cinder_lite import conf as cinder_conf
from devstack import states_doc
from lite_common import config
from nova_lite import conf as nova_conf

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
CODE = re.compile(r"`((?:lite_common|nova_lite|cinder_lite|devstack|tests|docs|etc)/[\w./*-]*)`")
LINK = re.compile(r"\]\(((?!https?:)[^)#]+)\)")


def test_the_state_diagrams_are_drawn_from_the_tables() -> None:
    drawn = (ROOT / "docs" / "states.md").read_text()
    assert drawn == states_doc.page(), "run: python -m devstack.states_doc > docs/states.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    for name in CODE.findall(page.read_text()):
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def functions() -> set[str]:
    found: set[str] = set()
    for path in [*(ROOT / "nova_lite").rglob("*.py"), *(ROOT / "cinder_lite").rglob("*.py")]:
        found |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    return found


def traced_steps() -> set[str]:
    found: set[str] = set()
    for path in [*(ROOT / "nova_lite").rglob("*.py"), *(ROOT / "cinder_lite").rglob("*.py")]:
        found |= set(re.findall(r"trace\.step\(\s*\"(\w+)\"", path.read_text()))
    return found


def test_every_step_of_the_path_page_is_a_traced_step_and_the_reverse() -> None:
    headings = set(re.findall(r"^### (\w+)", (ROOT / "docs" / "attach-path.md").read_text(), re.MULTILINE))
    assert headings == traced_steps()


@pytest.mark.parametrize(("service", "module"), [("nova", nova_conf), ("cinder", cinder_conf)])
def test_the_sample_configuration_shows_every_option_with_its_help(service: str, module: ModuleType) -> None:
    sample = (ROOT / "etc" / f"{service}-lite" / f"{service}.conf.sample").read_text()
    told = re.sub(r"\s+", " ", sample.replace("\n#", ""))
    for group, options in [*config.list_opts(), *module.list_opts()]:
        assert group == "DEFAULT" or f"[{group}]" in sample, group
        for option in options:
            assert re.search(rf"^#{option.name} =", sample, re.MULTILINE), f"run tox -e genconfig: {option.name}"
            assert re.sub(r"\s+", " ", option.help) in told, f"run tox -e genconfig: {option.name}"
