"""Load with faults: clients attach and detach while daemons are killed at random; afterwards nothing may be wrong."""
