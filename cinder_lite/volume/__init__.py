"""Operations on volumes and attachments: the API's half, and the half of the daemon that owns the backend."""
