"""The kill matrix: real daemons on real servers, killed at every step; the world is looked at, not asked."""
