"""Every format that is stored or sent, with its number and what each number changed.

| Format | Its number stands in | Where it is read |
|---|---|---|
| `DIRECTORY` | `format` of `node.json` | `runtime.datadir` |
| `LOG` | the head of each segment | `wire.recovery`, `wire.records` |
| `STATE` | the machine's own row; chunks of a peer's snapshot | `machine.state`, `node.catchup` |
| `SNAPSHOT_FILE` | the header of a node's snapshot file | `runtime.snapshots` |
| `ENTRIES` | the head of the database | `runtime.entrystore` |
| `ARCHIVE` | the header of a snapshot for users | `machine.snapshot` |
| `PROTOCOL` | the Hello, as lowest and highest | `wire.hello` |

FMT-1: a newer number than this version knows is refused, with a sentence that says what to do,
    before anything is changed. An older one down to `oldest` is read; what is written is the
    newest.
FMT-2: a stored or sent struct grows at its end only, by fields with a default. A decoder skips
    fields that it does not know, so a field that may be ignored needs no new number. One that may
    not, a new meaning of an old one, a new table or a new kind of record does.
"""

import msgspec

from quorate.base.errors import StorageError


class Format(msgspec.Struct, frozen=True):
    """One format.

    Attributes:
        changes: What each number changed, from 1 on.
        oldest: The lowest number that this version reads or speaks.
        remedy: What to do with one that is newer.
    """

    changes: tuple[str, ...]
    oldest: int = 1
    remedy: str = "start that version, or a newer one"

    @property
    def newest(self) -> int:
        """The number that this version writes, and the highest that it reads."""
        return len(self.changes)

    def refusal(self, what: str, number: int) -> str:
        """Why `what`, which says that it has format `number`, is not read; "" if it is."""
        if number > self.newest:
            return (
                f"{what} was written by a newer version of Quorate (format {number}, this one "
                f"knows {self.newest}): {self.remedy}"
            )
        if number < self.oldest:
            return (
                f"{what} has format {number}, which this version of Quorate reads no more (it "
                f"knows {self.oldest} to {self.newest}): upgrade by a version in between"
            )
        return ""

    def check(self, what: str, number: int) -> None:
        """Refuse what this version does not read.

        Raises:
            StorageError: `version`: see `refusal`.
        """
        refusal = self.refusal(what, number)
        if refusal:
            raise StorageError("version", refusal)


DIRECTORY = Format(
    (
        "builds before 0.1.0 was released",
        "the log of format 2",
        "the log of format 3, tables of format 2",
        "the log of format 4, tables of format 3",
        "the log of format 5",
        "the log of format 6, tables of format 4",
        "the log of format 7",
        "the log of format 8, tables of format 5",
    )
)

LOG = Format(
    (
        "builds before 0.1.0 was released",
        "fields at the end of PROMISED and BOOTSTRAPPED; commands with limits under new tags",
        "the group number in the header of each record, under another magic",
        "commands of the catalog with fields in place of JSON, under new tags",
        "the output of a check under a command of its own, which takes no index",
        "more fields of services and checks, under a new tag",
        "transactions of operations of any type, under a new tag",
        "commands on configuration entries, prepared queries and events",
    )
)

STATE = Format(
    (
        "the indexes of tables by position, for five tables; no format number",
        "the indexes of tables by the number of the table; the format number",
        "instances of services as fields in place of JSON; secondary indexes",
        "more fields at the end of services and checks",
        "tables of configuration entries, prepared queries and events",
    )
)

SNAPSHOT_FILE = Format(
    (
        "the header says the slot only",
        "the header says format and group number too",
    )
)

ENTRIES = Format(("what is registered with an agent in one database; before, in files",))

ARCHIVE = Format(
    (
        "no format number",
        "the format number",
        "instances of services as fields in place of JSON",
        "more fields at the end of services and checks",
        "configuration entries; prepared queries; events",
    ),
    remedy="restore it with that version, or a newer one",
)

PROTOCOL = Format(
    (
        "builds before 0.1.0 was released",
        "messages about links of another cluster, about what a node has shown, and the overview",
        "the group number in each frame; chunks of a snapshot hold tables of format 2",
        "commands of the log of format 4; chunks of a snapshot hold tables of format 3",
        "commands of the log of format 5",
        "commands of the log of format 6; chunks of a snapshot hold tables of format 4",
        "commands of the log of format 7",
        "commands of the log of format 8; chunks of a snapshot hold tables of format 5",
    ),
    oldest=8,
)
