"""A task of a refresh, in name only."""

from __future__ import annotations


class Runner:
    """A task that lives and does nothing."""

    def is_alive(self) -> bool:
        """Be alive."""
        return True

    def is_here(self) -> bool:
        """Be elsewhere."""
        return False

    def cancel(self) -> None:
        """Do nothing."""
