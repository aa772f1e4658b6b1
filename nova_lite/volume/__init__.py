"""What a compute host needs from the outside to reach a volume: the storage client and the host's connector."""
