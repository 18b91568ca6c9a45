"""What runs a fetch, in name only."""

from __future__ import annotations


class Runner:
    """What runs a flight, as far as the flight knows."""

    def __init__(self, *, stranded: bool = False, here: bool = False) -> None:
        self.stranded = stranded
        self.here = here
        self.cancelled = False

    def is_stranded(self) -> bool:
        """Be dead or alive."""
        return self.stranded

    def is_here(self) -> bool:
        """Be here or elsewhere."""
        return self.here

    def cancel(self) -> None:
        """End."""
        self.cancelled = True
