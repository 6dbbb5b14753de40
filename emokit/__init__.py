"""emokit: facial affect analysis around EmoFAN. Submodules load when they are used."""

import importlib

__version__ = "0.1.0"
_SUBMODULES = ("cleaning", "data", "evaluation", "inference", "models", "plots", "training")


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"emokit.{name}")
    raise AttributeError(f"module 'emokit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_SUBMODULES]
