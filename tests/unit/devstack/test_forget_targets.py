"""Which of LIO's objects are taken for ours when a role is taken away."""

from __future__ import annotations

import types

from devstack import forget_targets

PREFIX = "iqn.2010-10.org.openstack:volume-"
VOLUME = "volume-7d3c8064-5fcc-4eee-b6af-7ae568cb2b2f"


def test_only_our_targets_and_backstores_go() -> None:
    deleted: list[str] = []

    def thing(**names: str) -> types.SimpleNamespace:
        (name,) = names.values()
        return types.SimpleNamespace(delete=lambda: deleted.append(name), **names)

    ours = [f"iqn.2010-10.org.openstack:{VOLUME}", VOLUME, f"iqn.2010-10.org.openstack:{VOLUME}"]
    root = types.SimpleNamespace(
        targets=[thing(wwn=ours[0]), thing(wwn="iqn.2003-01.org.linux-iscsi.host:disk")],
        storage_objects=[thing(name=ours[1]), thing(name=ours[2]), thing(name="disk"), thing(name="volume-data")],
    )
    assert forget_targets.forget(root, PREFIX) == ours
    assert deleted == ours
