"""Any flipped bit in the file of the tables: found when it is verified, or harmless."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from quorate.runtime.tables import FILE_NAME, LmdbTables

MIB = 1024 * 1024
FLIPS = 250

# In a process of its own, one child a flip: a damaged page may end it by a signal.
SCRIPT = """
import os, random, sys
from pathlib import Path
from quorate.base.errors import StorageError
from quorate.runtime.tables import FILE_NAME, LmdbTables
from tests.fuzz.test_tables import MIB, rows_of

def outcome(folder):
    try:
        tables = LmdbTables(folder, step_bytes=MIB)
        tables.verify()
    except StorageError:
        return 1
    wanted = rows_of()
    is_right = dict(tables.range(b"")) == wanted
    return 2 if is_right and all(tables.get(key) == row for key, row in wanted.items()) else 3

folder, used, flips = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
path = folder / FILE_NAME
whole = path.read_bytes()
rng = random.Random(1)
for _ in range(flips):
    data = bytearray(whole)
    data[rng.randrange(used)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    (folder / (FILE_NAME + "-lock")).unlink(missing_ok=True)
    child = os.fork()
    if not child:
        os._exit(outcome(folder))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def rows_of() -> dict[bytes, bytes]:
    """Rows of all sizes, over more than one level of pages."""
    rng = random.Random(2)
    return {
        b"\1\1key/%05d" % number: rng.randbytes(rng.choice((0, 10, 300, 300, 3000)))
        for number in range(0, 4000, 2)
    }


def test_any_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    tables.begin_install()
    tables.install_rows(rows_of().items())
    tables.finish_install()
    tables.verify()
    used = tables.used_bytes
    tables.close()
    shutil.copy(tmp_path / FILE_NAME, tmp_path / "whole")

    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(used), str(FLIPS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    codes = [int(line) for line in said.stdout.split()]
    assert len(codes) == FLIPS
    assert codes.count(3) == 0, "damage was not found"
    assert codes.count(1) > FLIPS // 2
    assert set(codes) <= {1, 2, -6, -7, -11}
