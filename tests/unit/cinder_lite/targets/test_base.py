"""What all targets share: logins, locations, connection properties, connectors."""

from __future__ import annotations

import pytest

from cinder_lite import errors as cinder_errors
from cinder_lite.targets import base, fake
from lite_common import errors

LOCATION = "10.0.0.4:3260,7 iqn.2010-10.org.openstack:volume-1 1"
AUTH = "CHAP user secret"


@pytest.fixture
def target() -> fake.FakeTarget:
    return fake.FakeTarget("iqn.2010-10.org.openstack:", "10.0.0.4:3260")


def test_generated_logins_have_cinders_form() -> None:
    auth = base.Auth.generate()
    assert (len(auth.username), len(auth.password)) == (20, 16)
    assert set(auth.username + auth.password) <= set(base.ALPHABET)
    assert not set("01IOl") & set(base.ALPHABET)
    assert base.Auth.parse(auth.provider_auth()) == auth
    assert auth.password not in repr(auth)


@pytest.mark.parametrize("text", ["", "CHAP", "CHAP user", "PAP user hunter2", "CHAP a b c"])
def test_a_bad_provider_auth_is_refused_without_telling_it(text: str) -> None:
    with pytest.raises(errors.BackendError) as caught:
        base.Auth.parse(text)
    assert "hunter2" not in caught.value.message


def test_several_portals_are_told_to_every_host(target: fake.FakeTarget) -> None:
    several = "10.0.0.4:3260;10.0.1.4:3260;[fd00::4]:3260,7 iqn.x 1"
    where = base.parse_location(several)
    assert where.portals == ("10.0.0.4:3260", "10.0.1.4:3260", "[fd00::4]:3260")
    assert str(where) == several
    for connector in ({"initiator": "iqn.x"}, {"initiator": "iqn.x", "multipath": True}):
        data = target.connection_properties(several, AUTH, "1", connector)["data"]
        assert data["target_portal"] == "10.0.0.4:3260"
        assert data["target_portals"] == list(where.portals)
        assert data["target_iqns"] == ["iqn.x"] * 3
        assert data["target_luns"] == [1] * 3


@pytest.mark.parametrize(
    "text", ["", "10.0.0.4:3260,7 iqn", "10.0.0.4:3260,7 iqn x", "a b c d", "a;,7 iqn 1", "10.0.0.4:3260 iqn 1"]
)
def test_a_bad_location_is_refused(text: str) -> None:
    with pytest.raises(errors.BackendError, match="provider_location"):
        base.parse_location(text)


def test_connection_properties_of_one_path(target: fake.FakeTarget) -> None:
    assert target.connection_properties(LOCATION, AUTH, "1", {"initiator": "iqn.x"}) == {
        "driver_volume_type": "iscsi",
        "data": {
            "target_discovered": False,
            "target_portal": "10.0.0.4:3260",
            "target_iqn": "iqn.2010-10.org.openstack:volume-1",
            "target_lun": 1,
            "volume_id": "1",
            "auth_method": "CHAP",
            "auth_username": "user",
            "auth_password": "secret",
        },
    }


def test_connection_properties_of_a_multipath_host_hold_lists_too(target: fake.FakeTarget) -> None:
    data = target.connection_properties(LOCATION, AUTH, "1", {"initiator": "iqn.x", "multipath": True})["data"]
    assert data["target_portals"] == ["10.0.0.4:3260"]
    assert data["target_iqns"] == [data["target_iqn"]]
    assert data["target_luns"] == [1]


@pytest.mark.parametrize("connector", [{}, {"initiator": ""}, {"initiator": None}, {"initiator": 7}, {"host": "h"}])
def test_a_connector_without_initiator_is_bad_input(target: fake.FakeTarget, connector: dict[str, object]) -> None:
    with pytest.raises(cinder_errors.InvalidInput, match="initiator"):
        target.validate_connector(connector)
    assert cinder_errors.InvalidInput.code == 400
