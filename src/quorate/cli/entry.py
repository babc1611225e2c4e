"""The entry point of the command `quorate`: says what to install if a library is missing."""

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
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
