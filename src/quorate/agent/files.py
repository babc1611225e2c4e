"""Configuration files: HCL, JSON or TOML by their ending; folders in alphabetical order; merged.

A later scalar replaces an earlier one, lists append, blocks merge. Every fault of every file is
listed at once, in Consul's words where it has some.
"""

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, cast

import msgspec

from quorate.agent import hcl
from quorate.agent.definitions import plain_block, unknown_keys
from quorate.agent.keys import BLOCKS, KEYS, ValueKind
from quorate.base.errors import RequestError
from quorate.client import durations

FILE_BYTES_MAX = 4 * 1024 * 1024
_READERS: dict[str, Callable[[str], Any]] = {
    "hcl": hcl.loads, "json": json.loads, "toml": tomllib.loads,
}  # fmt: skip
FORMATS = tuple(_READERS)
_FORMATS_TEXT = ", ".join(f".{each}" for each in FORMATS)

_LISTS = {"service": "services", "check": "checks"}
"""Keys whose value belongs to the list of another one."""

_NOTHING: tuple[Any, ...] = ("", [], {}, -1)  # an unused key with such a value needs no warning


class ConfigSources(msgspec.Struct, frozen=True):
    """What a command line gives: values by key, and files to read."""

    values: dict[str, Any] = {}
    files: Sequence[Path] = ()
    is_dev: bool = False
    warnings: Sequence[str] = ()
    file_format: str = ""


class ConfigValues:
    """The values of files and flags, merged.

    `file_format` is one of `FORMATS`, that of all files whatever their ending; empty: by ending.

    Attributes:
        values: By key, see `keys`; durations in seconds.
        warnings: For the user.
        faults: All that is wrong with a file.
        value_faults: With values of any file, which Consul reports together.
    """

    def __init__(self, file_format: str = "") -> None:
        self.values: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.faults: list[str] = []
        self.value_faults: list[str] = []
        self._format = file_format

    def read(self, path: Path) -> None:
        """Read a file, or every file of a folder; folders within it are left out."""
        for file, block in self._parsed(path):
            faults: list[str] = []
            self._add_block("", block, faults)
            if faults:
                text = errors_text(f"failed to parse {file}", faults)
                self.faults.append(f"{text}\n\n")

    def blocks(self, path: Path) -> list[dict[str, Any]]:
        """The same files, as they are: no key is looked at."""
        return [block for _, block in self._parsed(path)]

    def _parsed(self, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        for file in self._files_of(path) if path.is_dir() else [path]:
            try:
                block = _parsed(file, self._format or file.suffix[1:])
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                self.faults.append(f"config: Open failed on {file}. open {file}: {reason}")
            except ValueError as error:  # of the readers, and ours
                self.faults.append(f"failed to parse {file}: {error}")
            except RecursionError:
                self.faults.append(
                    f"failed to parse {file}: its blocks or lists are nested too deeply"
                )
            else:
                yield file, block

    def add(self, key: str, value: Any, faults: list[str]) -> None:
        """Check, convert and merge the value of a key; what is wrong is added to `faults`."""
        kind = KEYS[key].kind
        if kind is ValueKind.UNUSED:
            if value not in _NOTHING and not key.startswith("acl."):  # details of what is refused
                self.warnings.append(f"{key} is not used by this version of Quorate; it is ignored")
            return
        must_be, type_ = kind.value
        given = reduce(merged, _blocks(value), None) if kind is ValueKind.NAMES else value
        if kind is ValueKind.DEFINITIONS:
            given = [plain_block(each) for each in _blocks(value)] or value
        try:
            found: Any = msgspec.convert(given, type_)
            if kind is ValueKind.DURATION:
                found = durations.parse(found)
            elif kind is ValueKind.NUMBER and not math.isfinite(found):
                raise msgspec.ValidationError  # noqa: TRY301 - as the library would
            elif kind is ValueKind.DEFINITIONS:
                faults += (f"invalid config key {each}" for each in unknown_keys(key, found))
        except msgspec.ValidationError:
            faults.append(f"{key} must be {must_be}")
        except RequestError as error:
            self.value_faults.append(f"{key}: invalid duration: {error.text}")
        else:
            place = _LISTS.get(key, key)
            self.values[place] = merged(self.values.get(place), found)

    def _add_block(self, prefix: str, block: Mapping[str, Any], faults: list[str]) -> None:
        for name, value in block.items():
            key = f"{prefix}{name}"
            if value is None:  # as if it were absent
                continue
            if "." in name or not (key in KEYS or key in BLOCKS):
                faults.append(f"invalid config key {key}")
            elif key in KEYS:
                self.add(key, value, faults)
            elif inner := _blocks(value):
                for each in inner:
                    self._add_block(f"{key}.", each, faults)
            else:
                faults.append(f"{key} must be a block of keys")

    def _files_of(self, folder: Path) -> list[Path]:
        try:
            inside = sorted(folder.iterdir())
        except OSError as error:
            self.faults.append(f"cannot read the folder {folder}: {error.strerror}")
            return []
        files: list[Path] = []
        for entry in inside:
            if entry.is_dir():
                if not _holds_configuration(entry):
                    continue
                why = "it is a folder within one"
            elif not self._format and entry.suffix[1:] not in _READERS:
                why = f"its name must end in one of {_FORMATS_TEXT}, or -config-format be given"
            elif entry.exists() and not entry.is_file():
                why = "it is no file"  # opening a pipe would block until somebody writes to it
            else:
                files.append(entry)  # a broken link too: opening it tells what is wrong
                continue
            self.warnings.append(f"{entry} is not read: {why}")
        return files


def _holds_configuration(folder: Path) -> bool:
    """Whether a user may think that this folder is read; those of a mount are hidden."""
    if folder.name.startswith("."):
        return False
    with suppress(OSError):
        return any(entry.suffix[1:] in _READERS for entry in folder.iterdir())
    return True


def read_blocks(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The content of a file, or of every file of a folder, each as it is; and what is wrong."""
    read = ConfigValues()
    return read.blocks(path), read.faults


def merged(old: Any, new: Any) -> Any:
    """What a later value makes of an earlier one: blocks merge, lists append, others replace it."""
    if isinstance(old, dict) and isinstance(new, dict):
        block, more = cast(dict[str, Any], old), cast(dict[str, Any], new)
        return block | {key: merged(block.get(key), value) for key, value in more.items()}
    return [*old, *new] if isinstance(old, list) and isinstance(new, list) else new


def errors_text(what: str, faults: Sequence[str]) -> str:
    """Several faults as Consul lists them."""
    head = f"{what and f'{what}: '}{len(faults)} error{'s' * (len(faults) != 1)} occurred:"
    return "\n".join([head, *(f"\t* {fault}" for fault in faults)])


def _parsed(path: Path, file_format: str) -> dict[str, Any]:
    path.stat()  # a missing file is reported as such, whatever its name
    if file_format not in _READERS:
        raise ValueError(f"its name must end in one of {_FORMATS_TEXT}, or give -config-format")
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"the file is larger than {FILE_BYTES_MAX} bytes")
    text = data.decode()
    values: Any = _READERS[file_format](text) if text.strip() else {}
    if not isinstance(values, dict):
        raise ValueError("it holds no block of keys")  # noqa: TRY004 - the file's fault
    return cast(dict[str, Any], values)


def _blocks(value: Any) -> list[dict[str, Any]]:
    """The blocks that a value is: one, or a list, which Consul's files may write; else empty."""
    blocks: list[Any] = [*value] if isinstance(value, list) else [value]
    return blocks if all(isinstance(block, dict) for block in blocks) else []
