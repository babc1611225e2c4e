"""What the simulator's clients read of the catalog, as far as they wait for it."""

from typing import Any, TypeGuard

from msgspec.structs import replace

from quorate.catalog.fields import Check


def without_outputs(found: Any) -> Any:
    """The result of a read, its tuples plain, without the outputs of checks.

    An output alone takes no index (CTG-4); with anything else that changes, indexes do.
    """
    if isinstance(found, Check):
        return replace(found, output="")
    return tuple(map(without_outputs, found)) if _is_tuple(found) else found


def _is_tuple(found: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(found, tuple)
