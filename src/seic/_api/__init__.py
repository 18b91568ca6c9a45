"""Calls to the API around the auth flow: what may be sent again, proofs of possession, and errors on request."""
