"""A registered model as MLflow's `python_function`: image files in, scoring responses out.

MLflow imports this module when `mlflow.pyfunc.load_model`, `mlflow models predict` or `mlflow models serve` open a
model; a copy of the package lies in the model (`code/`), and `requirements.txt` names what it imports.
"""

from __future__ import annotations

import base64
import binascii
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import DataError
from automl_images.data.images import read_image
from automl_images.inference.load import load_predictor

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "image"
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]++={0,2}+\s*+")
_IMPORTS = ("numpy", "onnx", "onnxruntime", "pandas", "pillow", "protobuf", "psutil", "pydantic", "scikit-image")


class ScoringModel:
    """Answers Azure's requests (specification J.1), without explanations.

    Args:
        folder: of the MLflow model, in which the files of the model folder lie.
    """

    def __init__(self, folder: Path | str) -> None:
        self._predictor = load_predictor(Path(folder))

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a row an image: `probs` and `labels`, or `boxes`.

        Args:
            model_input: with the column `image`, whose cells are the bytes of image files, or base64 of them (bytes or
                text).
            params: none are known; MLflow's interface has them.

        Raises:
            DataError: the column is missing, or a cell is no image; the message holds the row's number.
        """
        import pandas as pd

        if COLUMN not in model_input:
            names = ", ".join(map(str, model_input.columns))
            raise DataError(f"Expected a column {COLUMN!r} with the bytes of image files, got {names or 'no column'}.")
        images = (_image(number, cell) for number, cell in enumerate(model_input[COLUMN]))
        return pd.DataFrame(list(self._predictor.respond(images)))


def requirements() -> list[str]:
    """Return the packages that scoring imports, in the versions that are installed here."""
    return [f"{name}=={version(name)}" for name in _IMPORTS]


def _image(number: int, cell: object) -> Any:
    content = cell.encode() if isinstance(cell, str) else cell
    if not isinstance(content, bytes):
        raise DataError(f"Row {number}: expected the bytes of an image file or base64, got {type(cell).__name__}.")
    try:
        content = base64.b64decode(content) if _BASE64.fullmatch(content) else content
        return read_image(content)
    except (binascii.Error, ValueError, DataError) as error:
        raise DataError(f"Row {number}: {error}") from None


def _load_pyfunc(path: str) -> ScoringModel:
    """Open a model; the name is what MLflow asks for."""
    return ScoringModel(path)
