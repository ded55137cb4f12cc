"""The files of pretrained weights: which are on this machine, and fetching the others.

Owns the places: torch's and Hugging Face's caches, their hubs, files that an installed package carries. A hub is asked
once and quickly whether it is there; nothing waits for a network that is not. What is in a file is `weights.py`'s.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import torch

from automl_images.core.files import replacing, sha256

log = logging.getLogger(__name__)

Kind = Literal["torchvision", "timm", "hub", "package"]

PROBE_SECONDS = 2.0
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in a repository of Hugging Face; the second in old ones only."""

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")
_READ_SECONDS = 20.0
_CHUNK = 1 << 20


def here(kind: Kind, name: str) -> tuple[str, Path] | None:
    """Return where a file of weights is on this machine (`cache`, `folder`, `package`) and its path; None: it is not.

    Args:
        kind, name: see `weights.WeightSource`.
    """
    if kind == "package":
        path = _in_package(name)
        return None if path is None else ("package", path)
    if kind == "hub" and Path(name).expanduser().is_dir():
        inside = (Path(name).expanduser() / file for file in HUB_FILES)
        return next((("folder", path) for path in inside if path.is_file()), None)
    path = _torchvision_file(name)[1] if kind == "torchvision" else _first(_cached_of_hub, name)
    return ("cache", path) if path is not None and path.is_file() else None


def find(kind: Kind, name: str) -> tuple[str, Path] | None:
    """Return a file of weights as `here` does, fetched from its hub (`hub`) where it is not here but can be had."""
    found = here(kind, name)
    if found is not None or kind == "package" or Path(name).expanduser().is_dir():
        return found
    path = _fetch_torchvision(name) if kind == "torchvision" else _first(_fetch_of_hub, name)
    return None if path is None else ("hub", path)


def hub_answers(kind: Kind, name: str) -> bool:
    """Tell whether the hub that a file of weights can be fetched from answers; see `reachable`."""
    if kind == "package" or Path(name).expanduser().is_dir():
        return False
    return reachable(_host_of(_torchvision_file(name)[0]) if kind == "torchvision" else _hub_address())


def file_of_hub(repository: str, file: str) -> Path | None:
    """Return a small file of a repository of Hugging Face, from the cache or fetched; None where neither works."""
    return _cached_of_hub(repository, file) or _fetch_of_hub(repository, file)


def _first(look: Callable[[str, str], Path | None], repository: str) -> Path | None:
    return next((path for path in (look(repository, file) for file in HUB_FILES) if path is not None), None)


def _torchvision_file(name: str) -> tuple[str, Path]:
    from torchvision.models import get_weight

    url = get_weight(name).url
    return url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _fetch_torchvision(name: str) -> Path | None:
    url, path = _torchvision_file(name)
    return path if reachable(_host_of(url)) and _fetch(url, path) else None


def _host_of(url: str) -> str:
    return f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"


def _hub_address() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _cached_of_hub(repository: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file, cache_dir=os.environ.get("HF_HUB_CACHE"))
    return Path(cached) if isinstance(cached, str) else None


def _fetch_of_hub(repository: str, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not reachable(_hub_address()):
        return None
    folder = os.environ.get("HF_HUB_CACHE")
    try:
        return Path(hf_hub_download(repository, file, cache_dir=folder, etag_timeout=_READ_SECONDS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        log.warning("Fetching %s failed: %s. Going on without it.", repository, error)
        return None


def _in_package(name: str) -> Path | None:
    package, pattern = name.split(":")
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in sorted(Path(folder).glob(pattern))), None)


@lru_cache
def reachable(address: str) -> bool:
    """Tell whether a hub answers within two seconds; asked once, and never when HF_HUB_OFFLINE is set.

    The question runs in a thread of its own because resolving a name cannot be given a time limit.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}:
        return False
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(address)), daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers and answers[0])


def _answers(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the address comes from torchvision or the hub's client
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _fetch(url: str, path: Path) -> bool:
    """Download to `path`, all or nothing; False with a warning when that fails."""
    log.info("Fetching %s", url)
    try:
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as answer, replacing(path) as temporary:  # noqa: S310
            with temporary.open("wb") as stream:
                while chunk := answer.read(_CHUNK):
                    stream.write(chunk)
            promised = HASH_IN_NAME.search(path.name)
            if promised and not sha256(temporary).startswith(promised[1]):
                raise OSError(f"what arrived is not the file whose SHA-256 starts with {promised[1]}")
    except OSError as error:
        log.warning("Fetching %s failed: %s. Going on without it.", url, error)
        return False
    return True
