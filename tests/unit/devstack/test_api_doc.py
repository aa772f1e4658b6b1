"""The API reference in docs is what the tables say."""

import pytest

from devstack import api_doc
from lite_common.wsgi import expose


@pytest.mark.parametrize("name", api_doc.PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert (api_doc.DOCS / name).read_text() == api_doc.page(api_doc.PAGES[name]()), "run: python -m devstack.api_doc"


@pytest.mark.parametrize("name", api_doc.PAGES)
def test_every_route_has_its_heading(name: str) -> None:
    api = api_doc.PAGES[name]()
    told = [line for line in api_doc.page(api).splitlines() if line.startswith("### ")]
    assert sorted(told) == sorted(f"### {route.method} {route.path}" for route, _ in api.routes())


@pytest.mark.parametrize("name", api_doc.PAGES)
def test_every_member_of_a_body_has_its_row(name: str) -> None:
    api = api_doc.PAGES[name]()
    page = api_doc.page(api)
    for route, _ in api.routes():
        for _, schema in expose.declared(route.handler).bodies[:1]:
            section = page.partition(f"### {route.method} {route.path}\n")[2].partition("\n### ")[0]
            for member in schema.get("properties", {}):
                assert f"| `{member}` |" in section, (route.path, member)
