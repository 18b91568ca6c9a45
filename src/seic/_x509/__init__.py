"""Certificates and private keys in files, bytes and text: found, decoded and paired; no connections."""
