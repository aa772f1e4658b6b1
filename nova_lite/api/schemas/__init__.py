"""What requests may look like: JSON Schemas, one module per resource, by the microversion from which they hold."""
