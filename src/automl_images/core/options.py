"""The base of all option models: unknown keys and infinite numbers are errors, values do not change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Keys of a parameters file; what is not declared is refused, so that a mistyped key cannot be overlooked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
