"""Fill a frozen options model from a preset, a TOML file and flags; flags win."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
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
    where: str = "",
) -> AnyOptions:
    """Builds `model` from `preset`, then `file` (TOML), then `flags`; a flag that is None was not given.

    where: the table that these options belong to, as messages name it.

    Raises ValueError, one line that names the option, when a value or a name does not fit.
    """
    values: dict[str, Any] = {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for layer in (preset or {}, read_toml(file) if file else {}, given):
        values = merge(values, layer)
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(describe(error, model, where)) from None


def named_table(
    value: Any, what: str, default: str, menu: Callable[[str], type[Options]], where: str = ""
) -> dict[str, Any]:
    """An option that is a name on a menu, or a table with it: the table, with all options of what is named, checked.

    what: as messages call it. default: the name of a table that has none. menu: a name -> its options; LookupError for
    one that is on no menu.
    """
    if not isinstance(value, str | Mapping):
        raise ValueError(f"wanted the name of a {what}, or a table with it, got {value!r}")
    table = {"name": value} if isinstance(value, str) else {"name": default, **value}
    own = {name: option for name, option in table.items() if name != "name"}
    return {"name": table["name"], **fill(menu(table["name"]), own, where=where).model_dump()}


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`; nested tables are merged, unless the upper one has another "name"."""
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and not renamed(below, value):
            value = merge(below, value)
        merged[name] = value
    return merged


def renamed(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> bool:
    """Whether a table chooses something else by its "name", to which the lower table's options do not belong."""
    return "name" in upper and "name" in lower and upper["name"] != lower["name"]


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: wanted a TOML file of options, but it cannot be read: {reason}.") from None


def describe(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in ([where] if where else []) + list(first["loc"]))
    if first["type"] == "extra_forbidden":
        names = ", ".join(model.model_fields)
        return f"there is no option {place!r}. " + (f"The options are: {names}." if names else "There are no options.")
    if first["type"] == "value_error":  # our own message
        return f"option {place!r}: {first['ctx']['error']}"
    return f"option {place!r}: {first['msg']}; got {first['input']!r}."
