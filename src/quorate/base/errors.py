"""Every error that leaves Quorate, as one tree.

QuorateError
├── RequestError         definite    bad_request, too_large, unsupported
├── ForbiddenError       definite    forbidden
├── NotFoundError        definite    not_found
├── ConflictError        definite    stale_fence, already_exists, precondition
├── UnavailableError     definite    not_leader, overloaded, no_quorum, too_few_nodes,
│                                    read_only, stopping, removed, unreachable
├── OutcomeUnknownError  INDEFINITE  outcome_unknown
├── PeerError            definite    local, remote
└── StorageError         definite    corrupt, disk_full, too_many_files, locked, foreign,
                                     version, permission, settings
InvariantError(BaseException)        a bug in Quorate; only `agent` sees it, and exits

*Definite* means: it surely did not happen, so the caller may try again blindly. *Indefinite*
means: it was proposed and may still be chosen. Status codes and exit codes exist in the layers of
gateways and programs only.
"""

import copyreg
from typing import NoReturn


class QuorateError(Exception):
    """Root of the tree.

    Attributes:
        code: Stable part of the API, lower case with underscores.
        definite: True if the operation surely did not happen.
        response: What another program answered, as Consul's clients print it; empty if none did.
    """

    definite = True
    response: str = ""
    codes: frozenset[str] = frozenset()

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        invariant(code in self.codes, f"{type(self).__name__} has no code {code!r}")
        self.code = code
        self.text = text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled, as to another process, it keeps its class, text and attributes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined] # not in typeshed


class RequestError(QuorateError):
    """The caller's request cannot be served as it is; repeating it will not help."""

    codes = frozenset({"bad_request", "too_large", "unsupported"})


class ForbiddenError(QuorateError):
    """The caller may not do this."""

    codes = frozenset({"forbidden"})


class NotFoundError(QuorateError):
    """What the caller named does not exist."""

    codes = frozenset({"not_found"})


class ConflictError(QuorateError):
    """The state is not what the caller assumed. A lost `cas` is an answer, not this error."""

    codes = frozenset({"stale_fence", "already_exists", "precondition"})


class UnavailableError(QuorateError):
    """Not now, not here; it did not happen and may be tried again.

    Attributes:
        retry_after_s: Seconds after which a new try makes sense; 0 if unknown.
    """

    codes = frozenset(
        {
            "not_leader",
            "overloaded",
            "no_quorum",
            "too_few_nodes",
            "read_only",
            "stopping",
            "removed",
            "unreachable",
        }
    )

    def __init__(self, code: str, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(code, text)
        self.retry_after_s = retry_after_s


class OutcomeUnknownError(QuorateError):
    """The command was proposed; whether it took effect is not known here."""

    definite = False
    codes = frozenset({"outcome_unknown"})


class PeerError(QuorateError):
    """A violation of the protocol between nodes: `local`: by this node, `remote`: by the other."""

    codes = frozenset({"local", "remote"})


class StorageError(QuorateError):
    """The data directory cannot be used as it is; nothing was changed in it."""

    codes = frozenset(
        {
            "corrupt",
            "disk_full",
            "too_many_files",
            "locked",
            "foreign",
            "version",
            "permission",
            "settings",
        }
    )


class InvariantError(BaseException):
    """A bug in Quorate: to continue could break a promise, so the process must end."""


def violated(text: str) -> NoReturn:
    """Stop: a state was reached that the design excludes."""
    raise InvariantError(text)


def invariant(holds: bool, text: str) -> None:
    """Check what safety rests on. Unlike `assert` it survives `python -O`."""
    if not holds:
        raise InvariantError(text)
