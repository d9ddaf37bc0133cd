"""What every section of the configuration is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from edge_agent.config import values


def _path(path: Path, info: ValidationInfo) -> Path:
    return values.absolute_path(path, info.context["base"] if info.context else Path.cwd())


FilePath = Annotated[Path, Field(strict=False), AfterValidator(_path)]
"""Relative ones count from the configuration file's directory, else from the working directory; `~` is the home."""


class Section(BaseModel):
    """Refuses unknown keys and wrong types, and never changes."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )
