"""Times as clients write them."""

from __future__ import annotations

import datetime


def read(text: str) -> datetime.datetime:
    """The moment that ISO 8601 text says, in UTC and without a zone, as databases keep it. Raises ValueError.

    The first and the last hours that can be written are, from some zones, before and after all times in UTC.
    """
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError as err:
        raise ValueError(f"{text} is before or after all times") from err
