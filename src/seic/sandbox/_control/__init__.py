"""The control of a sandbox over plain HTTP on loopback."""
