"""Where servers live: the driver contract, its in-memory twin, and the libvirt driver."""
