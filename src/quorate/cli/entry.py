"""The entry point of the command `quorate`: says what to install where the server's parts lack."""

import sys


def main() -> int:
    """Run the command line; the exit code says how it went."""
    try:
        from quorate.cli.main import main as run

        return run()
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] == "quorate":
            raise
        sys.stderr.write(
            f"quorate: this command needs the server's parts ({name} is missing); install them: "
            "pip install 'quorate[server]', in a clone: pip install '.[server]'\n"
        )
        return 1
