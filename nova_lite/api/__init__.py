"""The REST side of nova-lite: a table of paths, one controller per resource, one schema module per resource."""
