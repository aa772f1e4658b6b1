"""The programs of nova-lite: each builds its service from the configuration and runs it."""
