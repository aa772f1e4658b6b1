"""Choosing the backend for a new volume."""
