"""The server of `seic proxy`: access, headers, forwarding, metrics."""
