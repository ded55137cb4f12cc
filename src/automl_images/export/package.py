"""Weights of a network as a safetensors file of its model folder.

The folder's manifest is `inference/model_folder.py`'s; the other files are plain JSON and the ONNX file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from automl_images.core.errors import ModelError
from automl_images.core.files import replacing
from automl_images.inference.model_folder import WEIGHTS_FILE


def write_weights(folder: Path | str, state_dict: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors` atomically; tensors that share memory are written once each.

    Raises:
        ModelError: a weight is NaN or infinite; an earlier file is then untouched.
    """
    weights = {name: _sound(name, tensor) for name, tensor in state_dict.items()}
    with replacing(Path(folder) / WEIGHTS_FILE, sum(weight.nbytes for weight in weights.values())) as temporary:
        save_file(weights, temporary)


def read_weights(folder: Path | str) -> dict[str, Tensor]:
    """Return the tensors of `model.safetensors` on the CPU.

    Raises:
        ModelError: the file is missing or damaged.
    """
    path = Path(folder) / WEIGHTS_FILE
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"Expected the weights of a model at {path}, but there is no such file.") from None
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error}). Restore the file or train again.") from error


def _sound(name: str, tensor: Tensor) -> Tensor:
    """Return a copy on the CPU, which shares no memory, as safetensors wants it."""
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise ModelError(
            f"The weight {name!r} holds NaN or infinity: the training diverged. "
            "Train again with a lower learning rate; nothing was written."
        )
    return tensor.detach().to("cpu", copy=True).contiguous()
