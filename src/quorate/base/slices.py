"""What work does that takes many turns: it is a function, called until it says that it is done."""

from collections.abc import Callable

LATER = 2
"""There is more to do, but not in this turn."""

Step = Callable[[], int]
"""Does a piece of at most about a millisecond; True if there is more to do, or `LATER`."""
