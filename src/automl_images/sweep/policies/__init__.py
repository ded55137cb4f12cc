"""Early termination: which running trials are not worth going on with.

A policy is a class in a file of its own that registers itself in `POLICIES`; `policy.py` holds what all share. Its
options join `EarlyTerminationOptions`, the type of the key `early_termination` of a job. `build_pruner` makes an Optuna
pruner of them, and imports Optuna only then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from automl_images.core.errors import nearest, unknown_name
from automl_images.sweep.policies.bandit import BanditOptions
from automl_images.sweep.policies.hyperband import HyperbandOptions
from automl_images.sweep.policies.median_stopping import MedianStoppingOptions
from automl_images.sweep.policies.policy import POLICIES, NoTerminationOptions
from automl_images.sweep.policies.truncation_selection import TruncationSelectionOptions

if TYPE_CHECKING:
    from automl_images.sweep.policies.pruner import PolicyPruner

__all__ = ["POLICIES", "AnyPolicyOptions", "EarlyTerminationOptions", "NoTerminationOptions", "build_pruner"]

AnyPolicyOptions = (
    BanditOptions | HyperbandOptions | MedianStoppingOptions | NoTerminationOptions | TruncationSelectionOptions
)


def _with_known_keys(value: Any) -> Any:
    """Take a bare name as type and null as `none`, and name wrong keys here, where the type is known."""
    if value is None or isinstance(value, str):
        value = {"type": value or "none"}
    if not isinstance(value, Mapping):
        return value
    if "type" not in value:
        raise ValueError(f"key type is missing: expected one of {', '.join(POLICIES)}")
    kind = str(value["type"])
    if kind not in POLICIES:
        raise ValueError(unknown_name("early termination policy (key type)", kind, POLICIES))
    known = POLICIES.get(kind).options_type.model_fields
    for key in value:
        if key not in known:
            raise ValueError(f"{kind} has no key {key!r}.{nearest(str(key), known)} It takes {', '.join(known)}.")
    return value


EarlyTerminationOptions = Annotated[AnyPolicyOptions, Field(discriminator="type"), BeforeValidator(_with_known_keys)]
"""A field of options: `{type: bandit, slack_factor: 0.1}`, a name alone, or null for none."""


def build_pruner(options: AnyPolicyOptions) -> PolicyPruner:
    """Return the pruner that options describe."""
    from automl_images.sweep.policies.pruner import PolicyPruner

    return PolicyPruner(POLICIES.get(options.type)(options))
