"""Revisions of the schema, applied by `nova-lite-manage db sync`."""
