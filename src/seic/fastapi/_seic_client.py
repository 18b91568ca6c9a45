"""`SeicClient`, the alias for handlers; apart, because it alone needs FastAPI."""

from typing import Annotated

from fastapi import Depends

from seic import AsyncClient
from seic.fastapi._clients import get_client

#: The application's client, as the type of a parameter of a handler or dependency.
SeicClient = Annotated[AsyncClient, Depends(get_client)]
SeicClient.__module__ = "seic.fastapi"
