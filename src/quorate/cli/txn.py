"""`quorate txn`: several operations, all or nothing."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from quorate.base.errors import RequestError
from quorate.cli.connect import ConnectionFlags, connected, read_value
from quorate.cli.output import fail, note, say, say_json
from quorate.client.structs import TxnDone


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


@connected("txn", "[STEPS]", "Error! Transaction not done")
def txn(
    connection: ConnectionFlags,
    steps: str = "-",
    *,
    json: Annotated[bool, "Print the answer as JSON, as Consul's API has it."] = False,
) -> None:
    """Run operations in the form of Consul's /v1/txn; exit code 1 if nothing was done.

    STEPS are @FILE, - for stdin (also if left out), or the JSON itself.

    Examples:
        quorate txn @steps.json
        echo '[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]' | quorate txn -
    """
    written = read_value(steps)
    try:
        parsed = _STEPS.decode(written)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fail(f"Error! The steps cannot be read: {error}\nNothing was done.")
    collected = connection.client.txn()
    for number, step in enumerate(parsed):
        if (add := _VERBS.get(step.kv.verb)) is None:
            text = f"operation {number}: unknown verb {step.kv.verb!r}"
            raise RequestError("bad_request", text)
        add(collected, step.kv)
    done = collected.commit()
    if json:
        say_json(_answer(done))
    elif done:
        say(f"Success! Operations done: {len(parsed)}")
        for entry in done.entries:
            say(f"{entry.key}  ModifyIndex {entry.modify_index}")
    if not done:
        note("Error! Nothing was done:")
        for fault in done.faults:
            note(f"  operation {fault.place}: {fault.text}")
        raise SystemExit(1)


_VERBS: dict[str, Callable[[Any, KvStep], object]] = {
    "set": lambda txn, step: txn.put(step.key, step.value, flags=step.flags),
    "cas": lambda txn, step: txn.cas(step.key, step.value, step.index, flags=step.flags),
    "lock": lambda txn, step: txn.acquire(step.key, step.value, step.session, flags=step.flags),
    "unlock": lambda txn, step: txn.release(step.key, step.value, step.session, flags=step.flags),
    "get": lambda txn, step: txn.get(step.key),
    "get-or-empty": lambda txn, step: txn.get_or_empty(step.key),
    "get-tree": lambda txn, step: txn.get_tree(step.key),
    "delete": lambda txn, step: txn.delete(step.key),
    "delete-cas": lambda txn, step: txn.delete(step.key, index=step.index),
    "delete-tree": lambda txn, step: txn.delete_tree(step.key),
    "check-index": lambda txn, step: txn.check_index(step.key, step.index),
    "check-session": lambda txn, step: txn.check_session(step.key, step.session),
    "check-not-exists": lambda txn, step: txn.check_absent(step.key),
}


def _answer(done: TxnDone) -> dict[str, object]:
    rows = [
        {
            "LockIndex": entry.lock_index,
            "Key": entry.key,
            "Flags": entry.flags,
            "Value": entry.value or None,  # in base 64
            "CreateIndex": entry.create_index,
            "ModifyIndex": entry.modify_index,
            **({"Session": entry.session} if entry.session else {}),
        }
        for entry in done.entries
    ]
    return {"Results": [{"KV": row} for row in rows], "Errors": done.faults or None}
