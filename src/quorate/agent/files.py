"""Configuration files: HCL, JSON or TOML by their ending; folders in alphabetical order; merged.

Later scalars win, lists append, blocks merge. Every fault of every file is listed at once, in
Consul's words where it has some.
"""

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from quorate.agent import hcl
from quorate.agent.keys import KEYS, Kind
from quorate.base.errors import RequestError
from quorate.client import durations

FILE_BYTES_MAX = 4 * 1024 * 1024
_READERS: dict[str, Callable[[str], Any]] = {
    "hcl": hcl.loads, "json": json.loads, "toml": tomllib.loads,
}  # fmt: skip
FORMATS = tuple(_READERS)
_FORMATS_TEXT = ", ".join(f".{each}" for each in FORMATS)

_NOTHING: tuple[Any, ...] = ("", [], {}, -1)  # what an unused key may say without a warning

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str, Kind.SWITCH: bool, Kind.WHOLE: int, Kind.NUMBER: float, Kind.DURATION: str,
    Kind.TEXTS: list[str], Kind.NAMES: dict[str, str],
}  # fmt: skip


class Given(msgspec.Struct, frozen=True):
    """What a command line says: values of keys, nested as in files; and files to read."""

    values: dict[str, Any] = {}
    files: Sequence[Path] = ()
    is_dev: bool = False
    warnings: Sequence[str] = ()
    form: str = ""


class Read(NamedTuple):
    """What was read: values by key, nested as in the files; and what to tell the user."""

    values: dict[str, Any]
    warnings: list[str]
    faults: list[str]


def read_files(paths: Sequence[Path], form: str = "") -> Read:
    """Read files and folders, in this order, and merge them; no folders within folders.

    `form` is one of `FORMATS`: that of all files, whatever their ending; empty: by ending.
    """
    read = Read({}, [], [])
    for path in paths:
        for file in _files(path, form, read):
            merge(read.values, _read_file(file, form, read))
    return read


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay `more` over `into`: blocks merge, lists append, other values win."""
    for key, value in more.items():
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merge(cast(dict[str, Any], old), cast(dict[str, Any], value))
        elif isinstance(value, list) and isinstance(old, list):
            into[key] = [*_items(old), *_items(value)]
        elif isinstance(value, dict):
            into[key] = {}
            merge(into[key], cast(dict[str, Any], value))
        else:
            into[key] = value


def errors_text(what: str, faults: Sequence[str]) -> str:
    """Several faults as Consul lists them."""
    head = f"{what and f'{what}: '}{len(faults)} error{'s' * (len(faults) != 1)} occurred:"
    return "\n".join([head, *(f"\t* {fault}" for fault in faults)])


def _files(path: Path, form: str, read: Read) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        inside = sorted(entry for entry in path.iterdir() if not entry.is_dir())
    except OSError as error:
        read.faults.append(f"cannot read the folder {path}: {error.strerror}")
        return []
    files: list[Path] = []
    for entry in inside:
        if not form and entry.suffix[1:] not in _READERS:
            why = f"its name must end in one of {_FORMATS_TEXT}, or -config-format be given"
        elif entry.exists() and not entry.is_file():
            why = "it is no file"  # to open a pipe would wait for who writes to it
        else:
            files.append(entry)  # a link to nothing too: to open it tells what is wrong
            continue
        read.warnings.append(f"{entry} is not read: {why}")
    return files


def _read_file(path: Path, form: str, read: Read) -> dict[str, Any]:
    try:
        values = _parsed(path, form)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        read.faults.append(f"config: Open failed on {path}. open {path}: {reason}")
        return {}
    except (ValueError, RecursionError) as error:  # of the readers, and ours
        read.faults.append(f"failed to parse {path}: {error}")
        return {}
    faults: list[str] = []
    clean = checked(values, KEYS, "", faults, read.warnings)
    if faults:
        read.faults.append(errors_text(f"failed to parse {path}", faults) + "\n\n")
    return clean


def _parsed(path: Path, form: str) -> dict[str, Any]:
    form = form or path.suffix[1:]
    path.stat()  # what is not there has no wrong name
    if form not in _READERS:
        raise ValueError(f"its name must end in one of {_FORMATS_TEXT}, or give -config-format")
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"the file is larger than {FILE_BYTES_MAX} bytes")
    text = data.decode()
    values: Any = _READERS[form](text) if text.strip() else {}
    if not isinstance(values, dict):
        raise ValueError("it holds no block of keys")  # noqa: TRY004 - the file's fault
    return cast(dict[str, Any], values)


def checked(
    values: Mapping[str, Any],
    keys: Mapping[str, Any],
    prefix: str,
    faults: list[str],
    warnings: list[str],
) -> dict[str, Any]:
    """The used values of a block; what is wrong and what is not used is noted. None is absent."""
    clean: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        kind = keys.get(key)
        if value is None:
            continue
        if kind is None:
            faults.append(f"invalid config key {name}")
        elif isinstance(kind, dict):
            inner = _block(value)
            if inner is None:
                faults.append(f"{name} must be a block of keys")
            else:
                below = cast(dict[str, Any], kind)
                clean[key] = checked(inner, below, f"{name}.", faults, warnings)
        elif kind is not Kind.UNUSED:
            given = value if kind is not Kind.NAMES else _block(value)
            if kind is not Kind.GUARDED and (fault := _misfit(given, kind)) is not None:
                faults.append(f"{name} {fault}")
            else:
                clean[key] = given
        elif value not in _NOTHING and not name.startswith("acl."):  # nobody misses details of ACLs
            warnings.append(f"{name} is not used by this version of Quorate; it is ignored")
    return clean


def _block(value: Any) -> dict[str, Any] | None:
    """A block; Consul's files may write one as a list of blocks."""
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    items = _items(value) if isinstance(value, list) else []
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    merged: dict[str, Any] = {}
    for item in items:
        merge(merged, item)
    return merged


def _items(value: Any) -> list[Any]:
    return list(value)


def _misfit(value: Any, kind: Kind) -> str | None:
    """Why this is no value of a kind; None if it is one."""
    try:
        found = msgspec.convert(value, _TYPES[kind])
        if kind is Kind.DURATION:
            durations.parse(found)
    except msgspec.ValidationError:
        return f"must be {kind.value}"
    except RequestError as error:
        return f"is wrong: {error.text}"
    return None if kind is not Kind.NUMBER or math.isfinite(found) else f"must be {kind.value}"
