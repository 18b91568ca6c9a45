"""The values of the protocol: frozen, validated, without I/O and without a clock."""
