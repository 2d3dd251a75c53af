"""Fill a frozen options model from a preset, a TOML file and flags; flags win."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Options(BaseModel):
    """Base of every options model: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnyOptions = TypeVar("AnyOptions", bound=Options)


def fill(
    model: type[AnyOptions],
    preset: Mapping[str, Any] | None = None,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> AnyOptions:
    """Builds `model` from `preset`, then `file` (TOML), then `flags`; a flag that is None was not given.

    Raises ValueError, one line that names the option, when a value or a name does not fit.
    """
    values: dict[str, Any] = {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for layer in (preset or {}, read_toml(file) if file else {}, given):
        values = merge(values, layer)
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(describe(error, model)) from None


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`; nested tables are merged, not replaced."""
    merged = dict(lower)
    for name, value in upper.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both_tables else value
    return merged


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: wanted a TOML file of options, but it cannot be read: {reason}.") from None


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no option {where!r}. The options are: {', '.join(model.model_fields)}."
    return f"option {where!r}: {first['msg']}; got {first['input']!r}."
