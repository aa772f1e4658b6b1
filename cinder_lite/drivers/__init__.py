"""Where the bytes of volumes live."""
