"""The lazy packages: what `__init__.py` loads is what `__init__.pyi` promises."""

import ast
import importlib
from pathlib import Path

import pytest


def promised(stub: Path) -> dict[str, str]:
    """Name -> module, from the imports of a stub."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("name", ["quorate", "quorate.client"])
def test_the_stub_promises_what_the_package_loads(name: str) -> None:
    package = importlib.import_module(name)
    stub = Path(package.__file__ or "").with_suffix(".pyi")
    names = promised(stub)

    assert sorted(names) == [name for name in package.__all__ if name != "__version__"]
    for item, module in names.items():
        assert getattr(package, item) is getattr(importlib.import_module(module), item)


@pytest.mark.parametrize("name", ["quorate", "quorate.client"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = importlib.import_module(name).Nothing
