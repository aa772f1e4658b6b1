"""Commands on what a server is made of: flavors and images."""

import argparse
import typing
from collections.abc import Iterable, Sequence

from nova_lite.cli import base, lookup


class FlavorList(base.Lister):
    """List flavors, the sizes a server can have."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per flavor; RAM is in MiB, disk in GiB."""
        flavors = self.cloud.pages("compute", "/flavors/detail", "flavors")
        return ("ID", "Name", "VCPUs", "RAM", "Disk"), [
            (item["id"], item["name"], item["vcpus"], item["ram"], item["disk"]) for item in flavors
        ]


class ImageList(base.Lister):
    """List images, the disks a server can boot from."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[typing.Any]]]:
        """Return one row per image; the size is in bytes."""
        images = self.cloud.pages("image", "/images", "images", lookup.IMAGE_PAGE)
        return ("ID", "Name", "Status", "Format", "Size"), [
            (item["id"], item.get("name"), item.get("status"), item.get("disk_format"), item.get("size"))
            for item in images
        ]
