"""The network below tokens and API calls: proxies, transports with an identity, and explained connection errors."""
