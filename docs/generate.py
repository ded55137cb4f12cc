"""Write the generated pages of the documentation, or check that they are up to date.

python docs/generate.py           writes docs/hyperparameters.md, models.md and parameters.schema.json
python docs/generate.py --check   exits with 1 when a page is stale
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from automl_images.core.files import write_text
from automl_images.core.hyperparameters import TABLE, Hyperparameter
from automl_images.core.hyperparameters.words import defaults_of, range_of
from automl_images.jobs.schema import parameters_schema
from automl_images.models import catalogue
from automl_images.models.entries.hub_names import DETECTORS, SEGMENTERS

DOCS = Path(__file__).parent


def hyperparameters_page() -> str:
    """Return the reference of all hyper-parameters, from the one table."""
    lines = [
        "# Hyper-parameters",
        "",
        "Generated from `src/automl_images/core/hyperparameters/` by `docs/generate.py`; do not edit.",
        "They stand in `training_parameters` (fixed) and `search_space` (sampled) of a task's parameters file.",
        "Both spellings are accepted. Names marked with + are additions to Azure's list. Where a model belongs to",
        "several groups under default, the first counts. `kedro model hyperparameters --model NAME` prints those of",
        "one model.",
        "[parameters.schema.json](parameters.schema.json) is the schema of the files: with the first line",
        "`# yaml-language-server: $schema=../../docs/parameters.schema.json` editors complete and check them.",
        "",
        "| name | other spellings | type and range | default | applies to | meaning |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(row) for row in TABLE), "", *_advanced_settings(), ""])


def models_page() -> str:
    """Return the table of all models, from the catalogue."""
    lines = [
        "# Models",
        "",
        "Generated from `src/automl_images/models/entries/` by `docs/generate.py`; do not edit.",
        "Weights are taken from your file, a local cache, the hub, an installed package, or random, in this order;",
        "the report says which. `kedro model catalogue` prints this table and whether the weights are on your machine.",
        "",
        "Models of transformers can be named too: any for image classification; of the types "
        + ", ".join(DETECTORS.types)
        + " for",
        "object detection; of the types " + ", ".join(SEGMENTERS.types) + " for instance segmentation;",
        "by its name at the hub (`google/vit-base-patch16-224`) or by its folder (`./my/model` with `config.json` and",
        "`model.safetensors`); it needs the extra `transformers`.",
        "",
        "| model_name | tasks | million parameters | licence | pretrained weights, best first | note |",
        "|---|---|---|---|---|---|",
    ]
    for name in catalogue.MODELS:
        entry = catalogue.MODELS.get(name)
        sources = "; ".join(f"{s.kind}: `{s.name}` ({s.licence})" for s in entry.sources) or "none (random)"
        size = "" if entry.million_parameters is None else f"{entry.million_parameters:g}"
        lines.append(f"| `{name}` | {', '.join(entry.tasks)} | {size} | {entry.licence} | {sources} | {entry.note} |")
    return "\n".join([*lines, ""])


def schema_page() -> str:
    """Return the JSON schema of parameters files."""
    return json.dumps(parameters_schema(), indent=1, ensure_ascii=False) + "\n"


PAGES = {"hyperparameters.md": hyperparameters_page, "models.md": models_page, "parameters.schema.json": schema_page}


def _row(row: Hyperparameter) -> str:
    name = f"`{row.name}`{' +' if row.ours else ''}"
    aliases = ", ".join(f"`{alias}`" for alias in row.aliases)
    cells = (name, aliases, range_of(row), defaults_of(row), row.applies_to.words, row.meaning)
    return f"| {' | '.join(cells)} |"


def _advanced_settings() -> list[str]:
    return [
        "`advanced_settings` is a JSON object (or its text) with the keys",
        "`apply_automl_train_augmentations` (default true; crop, expand, flip, affine, colours; classification too),",
        "`apply_mosaic_for_yolo` (default true) and `stream_image_files` (accepted; images are always read in place).",
    ]


def main() -> int:
    """Write or check all pages."""
    stale = [name for name, page in PAGES.items() if not _is_current(DOCS / name, page())]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/{name} is stale; run: python docs/generate.py")  # noqa: T201
        return bool(stale)
    for name in stale:
        write_text(DOCS / name, PAGES[name]())
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
