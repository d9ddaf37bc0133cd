"""The whole configuration, read once at the start.

`load` finds the file, lays the environment over it and says everything that is wrong at once; then each part of the
house is handed its section, and the core its own values. Together with `wire` this package is the only place that
imports pydantic. The pieces: `settings` and `offload` (the keys), `section` (what their models share), `sources` (file,
environment, machine, errors), `values` (what single values may look like), `keys` (the table of keys), `modes` (the
modes that every device has), `last_good` (what a service goes back to).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from edge_agent.config import sources
from edge_agent.config.keys import Key, describe, keys_of
from edge_agent.config.settings import Config
from edge_agent.config.sources import ConfigError, Finding

__all__ = ["Config", "ConfigError", "Finding", "Key", "all_keys", "describe", "load", "parse"]


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from a file and, over it, the environment.

    `path` is what `--config` names; None searches `EDGE_AGENT_CONFIG`, the working directory and /etc/edge-agent, and
    no file at all is fine. Raises `ConfigError` with everything that is wrong. Blocking: reads the file and the
    password's.
    """
    source = sources.find_file(path, environ)
    document = {} if source is None else sources.read_toml(source)
    return parse(document, environ, source)


def parse(
    document: dict[str, Any],
    environ: Mapping[str, str] | None = None,
    source: Path | None = None,
    trouble: str | None = None,
) -> Config:
    """The configuration in a document as `tomllib` gives it, with the environment over it. As `load` otherwise.

    `trouble` says why the document is not that of `source`.
    """
    overlay = sources.Overlay(document, environ or {}, all_keys(), source)
    base = Path.cwd() if source is None else source.absolute().parent
    context = {"base": base, "source": source, "variables": overlay.variables, "trouble": trouble}
    try:
        config = Config.model_validate(overlay.document, context=context)
    except ValidationError as error:
        overlay.explain(error.errors(include_url=False))
    if overlay.findings:
        raise ConfigError(overlay.findings)  # outside of the except clause: its error would repeat secrets
    for section, key in (("mqtt", "password"), ("offload", "secret_key")):
        settings = getattr(config, section)
        path = getattr(settings, f"{key}_file")
        if path is not None:
            secret = SecretStr(overlay.secret((section, f"{key}_file"), path))
            config = config.model_copy(update={section: settings.model_copy(update={key: secret})})
    return config


def all_keys() -> tuple[Key, ...]:
    """Every key there is, in the order of the contract."""
    return keys_of(Config)
