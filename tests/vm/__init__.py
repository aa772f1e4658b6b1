"""Tests over the virtual machines: an installation of three hosts with Debian's own kernel."""
