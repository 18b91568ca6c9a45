"""API requests around the auth flow: replays, retries, DPoP proofs, and errors on request."""
