"""Imported by the process from which those of a fleet are forked: seic imports most modules at their first use.

A token request that fails is such a use. No process of a fleet inherits a token, a connection or a thread.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile

from tests.fleet.worker import Task, work

logging.disable()
with tempfile.TemporaryDirectory() as _folder:
    # Nothing listens on this port.
    asyncio.run(work(Task(url="http://127.0.0.1:1", store=_folder, calls=1, concurrency=1, token_timeout=0.01)))
logging.disable(logging.NOTSET)
