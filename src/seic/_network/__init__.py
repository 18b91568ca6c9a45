"""The way to the provider: proxies, the identity that is presented, pools, and failed connections in words."""
