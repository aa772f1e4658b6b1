"""tgtd's listing is read as it is printed by tgt 1.0.85."""

from __future__ import annotations

from cinder_lite.targets import base, tgt_show

LISTING = """Target 5: iqn.2010-10.org.openstack:volume-1
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 2
            Initiator: iqn.1993-08.org.debian:01:abc alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            Backing store type: null
            Backing store path: None
            Backing store flags: 
        LUN: 1
            Type: disk
            SCSI ID: volume-1
            Backing store type: rdwr
            Backing store path: /srv/volumes/volume-1
            Backing store flags: 
    Account information:
        user
        other (outgoing)
    ACL information:
        ALL
Target 12: iqn.2010-10.org.openstack:volume-2
    System information:
        Driver: iscsi
    I_T nexus information:
    LUN information:
        LUN: 0
            Backing store path: None
    Account information:
    ACL information:
"""  # noqa: W291 - the blanks at line ends are tgtd's


def test_targets_are_read() -> None:
    shown = tgt_show.parse(LISTING)
    assert shown["iqn.2010-10.org.openstack:volume-1"] == tgt_show.Target(
        5,
        "iqn.2010-10.org.openstack:volume-1",
        {0: "None", 1: "/srv/volumes/volume-1"},
        {"user", "other"},
        {"ALL"},
        [base.Session("iqn.1993-08.org.debian:01:abc", "127.0.0.1")],
    )
    assert shown["iqn.2010-10.org.openstack:volume-2"] == tgt_show.Target(
        12, "iqn.2010-10.org.openstack:volume-2", {0: "None"}
    )


def test_an_empty_listing_is_no_targets() -> None:
    assert tgt_show.parse("") == {}


def test_one_target_is_found_without_the_others() -> None:
    shown = tgt_show.parse(LISTING)
    for iqn, target in shown.items():
        assert tgt_show.find(LISTING, iqn) == target
    assert tgt_show.find(LISTING, "iqn.2010-10.org.openstack:volume") is None
    assert tgt_show.numbers(LISTING) == [5, 12]
