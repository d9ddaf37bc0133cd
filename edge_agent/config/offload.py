"""The keys of the off-load: where footage is sent, as whom, when and how fast."""

from __future__ import annotations

import importlib.util
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from edge_agent.config import values
from edge_agent.config.section import FilePath, Section


class OffloadSettings(Section):
    enabled: bool = False
    """Send locked footage and clips to an S3-compatible store. Needs `pip install 'edge_agent[offload]'`."""
    endpoint_url: Annotated[str, AfterValidator(values.endpoint)] | None = None
    """The store's address, such as `https://minio.lan:9000`. Unset: Amazon's."""
    bucket: Annotated[str, AfterValidator(values.bucket)] | None = None
    """Where to put it; the bucket has to be there."""
    prefix: Annotated[str, Field(max_length=256), AfterValidator(values.object_prefix)] | None = None
    """What the names of objects begin with, before the path in the archive. Unset: the device's id and a slash."""
    region: Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")] = "us-east-1"
    """The bucket's region. Most stores but Amazon's are content with the default."""
    access_key: Annotated[str, Field(min_length=1)] | None = None
    """The id of the key to sign with."""
    secret_key: SecretStr | None = None
    """Prefer `secret_key_file`: this one is readable by all who may read the configuration."""
    secret_key_file: FilePath | None = None
    """A file that holds the secret of `access_key` in one line; read at the start."""
    ca_file: FilePath | None = None
    """Who may have signed the store's certificate, PEM. Unset: the authorities that come with the client."""
    max_bps: Annotated[int, Field(ge=8_000)] | None = None
    """Bits a second at the most. Unset: as fast as the line goes."""
    hours_utc: Annotated[str, AfterValidator(values.hours)] | None = None
    """Send within these hours only, such as `22:00-06:00`, in UTC; not while the clock is wrong. Unset: always."""
    release_after_upload: bool = False
    """Unlock footage when it lies in the store. Off: locked footage stays here until somebody unlocks it."""

    @model_validator(mode="after")
    def _fits(self) -> OffloadSettings:
        if self.secret_key is not None and self.secret_key_file is not None:
            raise ValueError("secret_key and secret_key_file are both set; remove secret_key")
        if not self.enabled:
            return self
        keys = {"bucket": self.bucket, "access_key": self.access_key}
        missing = [*(key for key, value in keys.items() if value is None)]
        missing += [] if self.secret_key or self.secret_key_file else ["secret_key_file"]
        if missing:
            raise ValueError(f"enabled = true needs {', '.join(missing)}")
        if importlib.util.find_spec("boto3") is None:
            raise ValueError(
                "enabled = true needs the client for S3: pip install 'edge_agent[offload]', "
                "for the service deploy/install.sh --offload"
            )
        return self
