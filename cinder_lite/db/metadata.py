"""The user's key-value pairs of a volume."""

from __future__ import annotations

from cinder_lite.db import models, pairs

PAIRS = pairs.Pairs(models.volume_metadata, "volume_id")
TABLE = PAIRS.table

get = PAIRS.get
of_many = PAIRS.of_many
write = PAIRS.write
drop = PAIRS.drop
