"""The compute service as this one sees it: over its REST API."""
