"""Nodes of the stage validation_split."""

from __future__ import annotations

import logging
from typing import Any

from automl_images.core.types import Table
from automl_images.data.dataset_checks import require_minimum
from automl_images.data.splitting import given_sides, split
from automl_images.jobs.options import JobOptions
from automl_images.tasks import TASKS

LOG = logging.getLogger(__name__)


def split_annotations(
    annotations: Table, validation_annotations: Table, options: JobOptions
) -> tuple[Table, Table, dict[str, Any]]:
    """Divide the rows into training and validation, unless validation data is given.

    Returns:
        Training rows, validation rows, and the report with the balance of classes on both sides.

    Raises:
        DataError: fewer than 10 training images.
    """
    kind = TASKS.get(options.task).label_kind
    if validation_annotations.rows:
        sides = given_sides(annotations.rows, validation_annotations.rows, kind)
    else:
        sides = split(annotations.rows, options.holdout, options.random_seed, kind)
    require_minimum(sides.training)
    LOG.info("Split: %d images to train on, %d to validate on", len(sides.training), len(sides.validation))
    for note in sides.report["notes"]:
        LOG.info("Split: %s", note)
    return Table(sides.training), Table(sides.validation), sides.report
