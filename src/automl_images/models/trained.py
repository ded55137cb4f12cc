"""A trained network as plain values: settings, labels and tensors; what `best/` holds before it is exported."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # nodes name this class in their signatures, and importing them must stay cheap
    from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class TrainedModel:
    """Enough to build the network again.

    Attributes:
        settings: `task`, `model_name`, `classes`, `hyperparameters`, `preprocessing`, `weights` (where training
            started from), `job`, `trial` — JSON-serialisable, the content of settings.json.
        labels: labels.json: names in the index order of the exported graph's outputs.
        state: the network's state dictionary.
    """

    settings: dict[str, Any]
    labels: list[str]
    state: dict[str, Tensor]
