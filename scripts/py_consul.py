"""Fetch py-consul's own test suite: its source distribution carries it, its wheel does not.

    python scripts/py_consul.py

It is unpacked beside the packages of the running Python, where `tests/compat` looks for it.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.8.0"
NAME = f"py_consul-{VERSION}"
SHA256 = "ed9ab0adb335d33ea84f7622f372411f8e288bb09aee5e7632264d28d285a52c"
SUITE = Path(sys.prefix) / NAME
"""Where it is, if it was fetched."""


def fetch(target: Path) -> None:
    """Download, check and unpack it.

    Raises:
        subprocess.CalledProcessError: pip could not get it.
        ValueError: It is another file than it should be.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-binary", ":all:", "--no-deps", "--dest", folder, f"py-consul=={VERSION}",
        ]  # fmt: skip
        subprocess.run(words, check=True)  # noqa: S603 - our own words, no shell
        archive = Path(folder) / f"{NAME}.tar.gz"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            raise ValueError(f"{archive.name} is not the file it should be")
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(target.parent, filter="data")
            else:  # Python before 3.11.4; the checksum above says what is in it
                tar.extractall(target.parent)  # noqa: S202


if __name__ == "__main__":
    if not SUITE.exists():
        fetch(SUITE)
    sys.stdout.write(f"{SUITE}\n")
