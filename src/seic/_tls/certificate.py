"""The client certificate."""

from __future__ import annotations

import os

import attrs

from seic._model.secrecy import Secretive


@attrs.frozen
class ClientCertificate(Secretive):
    """A certificate and its key; for now only what the rooms above need to name it."""

    thumbprint: str

    @classmethod
    def load(
        cls,
        certificate: str | os.PathLike[str] | bytes,
        *,
        key: str | os.PathLike[str] | bytes | None = None,
        password: str | None = None,
    ) -> ClientCertificate:
        """Load the pair."""
        raise NotImplementedError
