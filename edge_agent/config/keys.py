"""The table of all configuration keys, read from the models, and how a key is written.

The environment is matched against it, typing errors are compared with it, and the README's table is made of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

ANY_NAME = "*"
ANY_INDEX = "[]"
"""What stands in a key's path for a name that the user chooses, and for a list index."""

Loc = tuple[str | int, ...]
"""Where a value lies in a document."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration.

    `path` has `*` or `[]` where a chosen name or an index stands. `text` tells that an environment variable's value
    is taken as it is; otherwise it is read as JSON. `default` is how the default is shown, `meaning` what the key is
    for; both are empty for the entries of a list.
    """

    path: tuple[str, ...]
    text: bool
    default: str
    meaning: str

    @property
    def name(self) -> str:
        """The key as it is written in text: `cameras[].name`, `modes.*.fps`."""
        return ".".join(self.path).replace(".[]", "[]")


def keys_of(model: Any, above: tuple[str, ...] = ()) -> tuple[Key, ...]:
    """Every key in a pydantic model and its inner models, in order."""
    found: list[Key] = []
    for name, field in model.model_fields.items():
        path = (*above, name)
        container, inner, leaves = _taken_apart(field.annotation)
        if inner is not None:
            found += keys_of(inner, (*path, *([] if container is None else [container])))
            continue
        text = _is_text(leaves)
        found.append(Key(path, text=text and container is None, default=_shown(field), meaning=field.description))
        if container is not None:
            found.append(Key((*path, container), text=text, default="", meaning=""))
    return tuple(found)


def _taken_apart(annotation: Any) -> tuple[str | None, Any, list[Any]]:
    """What stands in the path below this annotation (None: nothing), the model inside, else the plain types."""
    container: str | None = None
    leaves: list[Any] = []
    todo = [annotation]
    while todo:
        this = todo.pop()
        origin = get_origin(this)
        if origin is tuple:
            container = ANY_INDEX
        elif origin is dict:
            container = ANY_NAME
        if origin is None or origin is Literal:
            leaves.append(type(get_args(this)[0]) if origin is Literal else this)
        else:
            todo += (
                get_args(this)[1:] if origin is dict else get_args(this)[:1] if origin is Annotated else get_args(this)
            )
    return container, next((leaf for leaf in leaves if hasattr(leaf, "model_fields")), None), leaves


def _is_text(leaves: Iterable[Any]) -> bool:
    return not {bool, int, float} & set(leaves)


def _shown(field: Any) -> str:
    """The default as it would stand in the file, or in words where it depends on the machine."""
    if field.default_factory:
        return str(field.default_factory.__doc__)
    if field.default is None or field.is_required():
        return "unset"
    return f"`{json.dumps(list(field.default) if isinstance(field.default, tuple) else field.default)}`"


def describe(keys: Iterable[Key]) -> str:
    """The table of all keys in Markdown."""
    rows = [f"| `{key.name}` | {key.default} | {key.meaning} |" for key in keys if key.meaning]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def matches(pattern: str, part: str) -> bool:
    """Whether one part of a key that somebody wrote fits the table's part."""
    return pattern in (part, ANY_NAME) or (pattern == ANY_INDEX and index_of(part) is not None)


def index_of(part: str) -> int | None:
    """A list index as it is written, None if it is none."""
    return int(part) if re.fullmatch("[0-9]{1,4}", part) else None
