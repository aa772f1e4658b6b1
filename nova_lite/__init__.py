"""Nova's side of the volume-attach path: servers, and the volumes that are plugged into them."""
