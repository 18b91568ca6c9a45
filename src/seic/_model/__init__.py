"""The values that the protocol speaks of: frozen, validated, without I/O and without a clock."""
