"""How a host reaches the bytes of a volume."""
