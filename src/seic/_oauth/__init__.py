"""The protocol: requests built and replies parsed, pure; the only httpx here is its value types."""
