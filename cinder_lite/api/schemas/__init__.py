"""JSON schemas of request bodies, one module per resource, by the microversion from which they hold."""
