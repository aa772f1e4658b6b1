"""Times as clients write them."""

import datetime

import pytest

from lite_common import times


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2026-11-21T22:08:38", 22), ("2026-11-21T22:08:38Z", 22), ("2026-11-21T22:08:38+05:30", 16)],
)
def test_a_time_is_read_into_utc_without_a_zone(text: str, hour: int) -> None:
    found = times.read(text)
    assert (found.hour, found.tzinfo) == (hour, None)
    assert isinstance(found, datetime.datetime)


@pytest.mark.parametrize("text", ["", "today", "2026-13-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        times.read(text)
