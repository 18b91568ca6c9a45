"""Token stores that processes share: encrypted entries in files, or in Redis."""
