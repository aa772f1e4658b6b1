"""Cells that read well in a table and stay structured data in JSON and YAML."""

import typing

from cliff import columns


class Count(columns.FormattableColumn[list[str]]):
    """A list of ids: its length for people, the list for programs."""

    def human_readable(self) -> str:
        """Return the number of items."""
        return str(len(self._value))


class Lines(columns.FormattableColumn[list[str]]):
    """A list of words: one per line for people, the list for programs."""

    def human_readable(self) -> str:
        """Return the items, one per line."""
        return "\n".join(self._value)


class Pairs(columns.FormattableColumn[dict[str, typing.Any]]):
    """An object: `key=value` lines for people, the object for programs."""

    def human_readable(self) -> str:
        """Return the pairs, one per line."""
        return "\n".join(f"{key}={value}" for key, value in sorted(self._value.items()))


class Attachments(columns.FormattableColumn[list[dict[str, typing.Any]]]):
    """The attachments of a volume, each with `server_id`, `server_name` and `device`."""

    def human_readable(self) -> str:
        """Return one line per attachment, such as `c1 on /dev/vdb`."""
        return "\n".join(
            f"{item['server_name'] or item['server_id'] or item['host_name']} on {item['device'] or 'no name'}"
            for item in self._value
        )
