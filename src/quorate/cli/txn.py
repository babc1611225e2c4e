"""`quorate txn`: several operations, all or nothing."""

import base64
from typing import Annotated, Any

import msgspec
import typer

from quorate.base.errors import RequestError
from quorate.cli.connect import Connection, connected, one_argument
from quorate.cli.flags import application, command
from quorate.cli.output import fail, note, say, say_json
from quorate.cli.values import read_value
from quorate.client.structs import KvEntry, TxnDone

app = application("Do several operations on keys at once, or none of them.")


class KvStep(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """One operation on a key, as Consul's API writes it; the value in base 64."""

    verb: str
    key: str
    value: bytes = b""
    flags: int = 0
    index: int = 0
    session: str = ""


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One operation."""

    kv: KvStep = msgspec.field(name="KV")


_STEPS = msgspec.json.Decoder(list[Step])


@command(
    app,
    "txn",
    examples=[
        "quorate txn @steps.json",
        """echo '[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]' | quorate txn -""",
    ],
)
@connected("Error! Transaction not done")
def txn(
    connection: Connection,
    steps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STEPS]", show_default=False, help="@FILE, - for stdin, or JSON."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON, as Consul's API has it.")
    ] = False,
) -> None:
    """Do operations written as for Consul's /v1/txn; exit code 1 if nothing was done."""
    text = read_value(one_argument(steps, "STEPS", default="-"))
    try:
        parsed = _STEPS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fail(f"Error! The steps cannot be read: {error}\nNothing was done.")
    with connection.client() as client:
        collected = client.txn()
        for number, step in enumerate(parsed):
            _add(collected, step.kv, number)
        done = collected.commit()
    if as_json:
        say_json(_answer(done))
    elif done:
        say(f"Success! Operations done: {len(parsed)}")
        for entry in done.entries:
            say(f"{entry.key}  ModifyIndex {entry.modify_index}")
    if not done:
        note("Error! Nothing was done:")
        for fault in done.faults:
            note(f"  operation {fault.place}: {fault.text}")
        raise typer.Exit(1)


def _add(collected: Any, step: KvStep, number: int) -> None:
    """Put one operation into a transaction."""
    key, value, flags = step.key, step.value, step.flags
    match step.verb:
        case "set":
            collected.put(key, value, flags=flags)
        case "cas":
            collected.cas(key, value, step.index, flags=flags)
        case "lock":
            collected.acquire(key, value, step.session, flags=flags)
        case "unlock":
            collected.release(key, value, step.session, flags=flags)
        case "delete":
            collected.delete(key)
        case "delete-cas":
            collected.delete(key, index=step.index)
        case "check-index":
            collected.check_index(key, step.index)
        case "check-session":
            collected.check_session(key, step.session)
        case verb if verb in _BY_KEY:
            getattr(collected, _BY_KEY[verb])(key)
        case verb:
            raise RequestError("bad_request", f"operation {number}: unknown verb {verb!r}")


_BY_KEY = {
    "get": "get",
    "get-or-empty": "get_or_empty",
    "get-tree": "get_tree",
    "delete-tree": "delete_tree",
    "check-not-exists": "check_absent",
}


def _answer(done: TxnDone) -> dict[str, object]:
    errors = [{"OpIndex": fault.place, "What": fault.text} for fault in done.faults]
    return {"Results": [{"KV": _row(each)} for each in done.entries], "Errors": errors or None}


def _row(entry: KvEntry) -> dict[str, object]:
    return {
        "LockIndex": entry.lock_index,
        "Key": entry.key,
        "Flags": entry.flags,
        "Value": base64.b64encode(entry.value).decode() if entry.value else None,
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
        **({"Session": entry.session} if entry.session else {}),
    }
