"""Identity: certificates, trust, contexts and their rotation; knows TLS and nothing of HTTP."""
