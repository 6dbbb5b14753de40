"""Networks, and where their weights come from."""

from emokit.models.emofan import EXPRESSIONS, AffectOutput, EmoFAN, attention_map
from emokit.models.fan import FAN, landmarks_from_heatmaps
from emokit.models.resnet import ResNet18
from emokit.models.weights import WeightsError, load_emofan, load_resnet18, save_emofan, save_resnet18

__all__ = [
    "EXPRESSIONS",
    "FAN",
    "AffectOutput",
    "EmoFAN",
    "ResNet18",
    "WeightsError",
    "attention_map",
    "landmarks_from_heatmaps",
    "load_emofan",
    "load_resnet18",
    "save_emofan",
    "save_resnet18",
]
