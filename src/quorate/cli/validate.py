"""`quorate validate`: check configuration files without starting a node."""

from pathlib import Path
from typing import Annotated

from quorate.cli.commands import command
from quorate.cli.output import fail, note, say


@command("validate", "FILE_OR_DIR...")
def validate(
    *paths: str,
    quiet: Annotated[bool, "Say nothing if all is well, not even warnings."] = False,
    config_format: Annotated[str, "`hcl`, `json` or `toml`, whatever the endings."] = "",
) -> None:
    """Check configuration files as `agent` would read them; exit code 1 if it would not start.

    Examples:
        quorate validate /etc/quorate.d
        quorate validate -quiet a.hcl b.json
    """
    if not paths:
        fail("Must specify at least one config file or directory")
    from quorate.agent.files import ConfigSources
    from quorate.agent.settings import ConfigError, settings_of

    sources = ConfigSources(files=[Path(path) for path in paths], file_format=config_format)
    try:
        _, warnings = settings_of(sources, is_lenient=True)
    except ConfigError as error:
        fail(f"Config validation failed: {error}")
    if not quiet:
        for warning in warnings:
            note(warning)
        say("Configuration is valid!")
