"""Which device name a new disk of a server gets: the first that is free, in the order a, b, ... z, aa, ab, ...

The name is an ordering hint for the hypervisor; a guest may call the disk otherwise and finds it by its serial.
Source: Nova documentation, "Device naming"; the names are those that Nova stores, with /dev/ in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from nova_lite import errors

_NAME = re.compile(r"^(/dev/x?[a-z]?d?)([a-z]+?)([0-9]*)$")
_DISK = re.compile(r"^(/dev/(?:xvd|[a-z]d))([a-z]+)[0-9]*$")


def letters(index: int) -> str:
    """0 is a, 25 z, 26 aa, 701 zz, 702 aaa."""
    text = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def index(text: str) -> int:
    """The number of a disk's letters; the reverse of `letters`."""
    number = 0
    for letter in text:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def split(name: str) -> tuple[str, str]:
    """Prefix and letters of a device name, without a partition's digits. Raises InvalidDevicePath."""
    found = _DISK.match(name) or _NAME.match(name)
    if found is None:
        raise errors.InvalidDevicePath(path=name)
    return found[1], found[2]


def next_free(root: str, count: int, last: str | None, all_names: Callable[[], Collection[str]]) -> str:
    """The first free name, where the root disk is `root` and `count` others have names, `last` being the last.

    As long as there is no gap these two tell all; only then `all_names` is asked, which costs as much as there are
    disks. A gap is filled first, as Nova does.
    """
    prefix, root_letters = split(root)
    root_index = index(root_letters)
    if last is None:
        return prefix + letters(_skip(root_index, 0))
    last_prefix, last_letters = split(last)
    last_index = index(last_letters)
    others_up_to_last = last_index + 1 - (root_index <= last_index)
    if last_prefix == prefix and count == others_up_to_last:
        return prefix + letters(_skip(root_index, last_index + 1))
    taken = {index(split(name)[1]) for name in all_names()} | {root_index}
    return prefix + letters(next(number for number in range(len(taken) + 1) if number not in taken))


def honoured(root: str, requested: str) -> str:
    """The requested name as this server gives it: with the prefix of its root disk and without digits."""
    return split(root)[0] + split(requested)[1]


def check_limit(name: str, maximum: int) -> None:
    """Raises TooManyDisks when the name is beyond the `maximum` number of disks (-1: no limit)."""
    if maximum >= 0 and index(split(name)[1]) >= maximum:
        raise errors.TooManyDisks(maximum=maximum)


def _skip(root_index: int, number: int) -> int:
    return number + 1 if number == root_index else number
