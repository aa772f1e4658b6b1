"""Device names: any set of taken names, found in one way or the other, gives the first that is free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_lite import errors
from nova_lite.compute import device_names

ROOT = "/dev/vda"


@pytest.mark.parametrize(
    ("index", "letters"), [(0, "a"), (25, "z"), (26, "aa"), (701, "zz"), (702, "aaa"), (18277, "zzz")]
)
def test_letters(index: int, letters: str) -> None:
    assert device_names.letters(index) == letters
    assert device_names.index(letters) == index


@given(st.integers(min_value=0, max_value=10**9))
def test_letters_and_back(number: int) -> None:
    assert device_names.index(device_names.letters(number)) == number


@given(st.sets(st.integers(min_value=0, max_value=60)), st.integers(min_value=0, max_value=3))
def test_first_free(taken: set[int], root: int) -> None:
    taken.discard(root)
    names = [f"/dev/vd{device_names.letters(number)}" for number in taken]
    last = max(names, key=lambda name: (len(name), name), default=None)
    name = device_names.next_free(f"/dev/vd{device_names.letters(root)}", len(names), last, lambda: names)
    found = device_names.index(name.removeprefix("/dev/vd"))
    assert found not in taken | {root}
    assert set(range(found)) <= taken | {root}


def test_without_a_gap_the_names_are_not_read() -> None:
    def never() -> list[str]:
        raise AssertionError("read all names")

    assert device_names.next_free(ROOT, 1000, f"/dev/vd{device_names.letters(1000)}", never) == "/dev/vdaln"
    assert device_names.next_free(ROOT, 0, None, never) == "/dev/vdb"


@pytest.mark.parametrize(
    ("asked", "given_name"),
    [
        ("/dev/vdq", "/dev/vdq"),
        ("/dev/sdq1", "/dev/vdq"),
        ("/dev/xvdc", "/dev/vdc"),
        ("/dev/vdaa", "/dev/vdaa"),
        ("/dev/a", "/dev/vda"),
    ],
)
def test_requested_names_get_the_servers_prefix(asked: str, given_name: str) -> None:
    assert device_names.honoured(ROOT, asked) == given_name


def test_limit_counts_the_root_disk() -> None:
    device_names.check_limit("/dev/vdc", 3)
    device_names.check_limit("/dev/vdzz", -1)
    with pytest.raises(errors.TooManyDisks):
        device_names.check_limit("/dev/vdd", 3)


def test_nonsense_is_refused() -> None:
    with pytest.raises(errors.InvalidDevicePath):
        device_names.split("vdb")
