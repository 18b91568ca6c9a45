"""Tests that run type checkers; they are collected only if mypy and pyright are installed, as in `nox -s types`."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if all(map(importlib.util.find_spec, ("mypy", "pyright"))) else ["test_*.py"]
