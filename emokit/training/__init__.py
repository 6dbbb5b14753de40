"""What is trained, and how."""

from emokit.training.ablation import configure
from emokit.training.config import Config, read_config
from emokit.training.folds import cross_validate
from emokit.training.run import evaluate, fit, read

__all__ = ["Config", "configure", "cross_validate", "evaluate", "fit", "read", "read_config"]
