"""The server: listeners on loopback, routes, request counts and injected faults."""
