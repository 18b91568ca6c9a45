"""The OAuth 2.0 protocol: build requests and parse replies. Pure; of httpx only its value types are used."""
