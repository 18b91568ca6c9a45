"""The command `seic`: tokens, checks, certificates and requests from a shell; see docs/cli.md."""

from __future__ import annotations

from seic._public import publish as _publish
from seic.cli._command import main

__all__ = ["main"]

_publish(__name__, __all__, globals())
