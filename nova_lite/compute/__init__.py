"""Operations on servers and their volumes: nova-api's half (`api`, `attach_api`) and nova-compute's (the others)."""
