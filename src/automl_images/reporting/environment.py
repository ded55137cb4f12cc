"""The machine and the software that a report was made with; no paths, no names of users or hosts."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from automl_images.data.inspection import available_cores

PACKAGES = (
    "automl-images",
    "torch",
    "torchvision",
    "onnxruntime",
    "onnx",
    "timm",
    "optuna",
    "kedro",
    "mlflow",
    "numpy",
)


def environment() -> dict[str, str]:
    """Return what is asked when a result cannot be reproduced, by name, ready to show."""
    import psutil

    return {
        "Device": _device(),
        "Processor": f"{_processor()}, {available_cores()} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name(0)} x {torch.cuda.device_count()}, CUDA {torch.version.cuda}"
    return "Apple GPU (MPS)" if torch.backends.mps.is_available() else "CPU"


def _processor() -> str:
    info = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
