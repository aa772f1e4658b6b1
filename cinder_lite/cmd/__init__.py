"""Entry points: read the options, build the parts, run them."""
