"""Any flags and any file give settings or a list of faults, never anything else."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quorate.agent.keys import FLAGS, KEYS, UNUSED_VALUES
from quorate.agent.settings import AgentSettings, ConfigError, settings_of
from quorate.base.errors import RequestError
from quorate.cli.agent import parse_flags

_NAMES = sorted({name for key in KEYS for name in (key, *key.split("."))} | {"x"})
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["10s", "a:1", "::", "[::1]:2", "0.0.0.0", "{{x}}", "provider=x", "-1s"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner),
    max_leaves=12,
)
_WORDS = (
    st.sampled_from(
        [f"-{name}" for name in (*FLAGS, *UNUSED_VALUES.split()) if "config" not in name]
    )
    | st.sampled_from(["-dev", "-server=false", "-http-port=-1", "--node=x", "-h", "3", "a:1"])
    | st.text(max_size=6)
)


def judged(words: list[str]) -> AgentSettings | None:
    """Settings, or None: help was asked for, or they were refused with a reason."""
    try:
        return settings_of(parse_flags(words))[0]
    except SystemExit:  # help
        return None
    except (ConfigError, RequestError) as error:
        reasons = str(error).strip()
    assert reasons
    return None


@given(st.lists(_WORDS, max_size=8))
def test_any_command_line_is_taken_or_refused_with_reasons(words: list[str]) -> None:
    judged(words)


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=6))
def test_any_keys_are_taken_or_refused_with_reasons(values: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(values))
        settings = judged(["-dev", "-config-file", str(path)])
    if settings is not None:
        assert settings.node.validate() == []


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.toml", "a.hcl"]))
def test_any_bytes_are_taken_or_refused_with_reasons(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        judged(["-dev", "-config-file", str(path)])
