"""What the figures were measured on; neither names nor paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

from emokit.inference.prepare import has_bfloat16


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions."""
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16 in the processor": has_bfloat16(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "openvino")},
    }


def load() -> float | None:
    """Programs that wanted a core during the last minute, these included; None on Windows."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
