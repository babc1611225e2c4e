"""`quorate validate`: configuration files, judged without starting a node."""

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.flags import application, command
from quorate.cli.output import fail, note, say

app = application("Check configuration files without starting a node.")


@command(
    app,
    "validate",
    examples=["quorate validate /etc/quorate.d", "quorate validate -quiet a.hcl b.json"],
)
def validate(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="FILE_OR_DIR...", show_default=False)
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing if all is well, not even warnings.")
    ] = False,
    form: Annotated[
        str, typer.Option("--config-format", help="`hcl`, `json` or `toml`, whatever the endings.")
    ] = "",
) -> None:
    """Check configuration files as `agent` would read them; exit code 1 if it would not start."""
    if not paths:
        fail("Must specify at least one config file or directory")
    from quorate.cli.agentflags import Given
    from quorate.cli.settings import ConfigError, settings_of

    given = Given({}, [Path(path) for path in paths], False, False, [], form)
    try:
        _, warnings = settings_of(given, is_lenient=True)
    except ConfigError as error:
        fail(f"Config validation failed: {error}")
    if not quiet:
        for warning in warnings:
            note(warning)
        say("Configuration is valid!")
