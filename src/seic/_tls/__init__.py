"""The client certificate in service, trust, TLS contexts and the reload of each; knows TLS and nothing of HTTP."""
