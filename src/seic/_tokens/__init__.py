"""Tokens: had from the endpoint, kept, renewed ahead; the only place that waits for one."""
