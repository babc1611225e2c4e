"""Do something in one process at a time. Start it twice and watch them take turns.

python examples/lock.py [host:port ...]
"""
# ruff: noqa: T201 - it prints

import sys
import time

from quorate import Client, LockHeldError, LockLostError

KEY = "examples/lock"


def main() -> int:
    """Wait for the lock, work under it for some seconds, step by step."""
    with Client(sys.argv[1:] or None) as client:
        try:
            with client.lock(KEY, value=b"examples/lock.py", wait_s=60) as held:
                print(f"have it, with fence {held.fence}")
                for step in range(5):
                    held.check()  # a thread cannot be interrupted: ask between steps
                    print("step", step + 1, "of 5")
                    time.sleep(1)
        except LockHeldError as error:
            print("gave up:", error)
            return 1
        except LockLostError as error:
            print("stopped:", error)
            return 1
    print("gave it back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
