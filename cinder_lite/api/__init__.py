"""The REST API: one table of paths, controllers that only translate, views by microversion."""
