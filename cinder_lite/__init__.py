"""The block storage service: an API, a scheduler and a volume daemon per host, over RPC and one database."""
