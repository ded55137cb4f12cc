"""A mistake of the user ends in one message and exit code 1 (failed) or 2 (wrong usage), never in a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import click
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from omegaconf.errors import OmegaConfBaseException

from automl_images.core.errors import AutoMLImagesError
from automl_images.datasets.base import unwrapped


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Print the message of an error of ours and leave with its exit code."""
    try:
        yield
    except (AutoMLImagesError, DatasetError, MissingConfigException, OmegaConfBaseException, OSError) as error:
        ours = unwrapped(error)
        click.secho(f"Error: {ours}", fg="red", err=True)
        sys.exit(ours.exit_code if isinstance(ours, AutoMLImagesError) else 1)
    except KeyboardInterrupt:
        click.secho("Stopped.", fg="red", err=True)
        sys.exit(130)
