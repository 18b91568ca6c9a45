"""The endpoints of the three dialects: SEI's gateway, SEI's platform, and a plain OAuth 2.0 provider."""
