"""One readable YAML file per training run.

Every row of the paper's Table 5 is a ``network`` and a ``modality``, every row of Table 6 a
``loss``::

    network: emofan
    modality: F+R+C+A+S

The kit's own recipes lie in ``emokit/training/recipes`` and go by their names.
"""

from __future__ import annotations

import os
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from emokit.data.augment import Augment
from emokit.data.noise import noisy_labels
from emokit.training.module import Optimiser

_HERE = Path(__file__).parent / "recipes"
RECIPES = tuple(sorted(path.stem for path in _HERE.glob("*.yaml")))
MODALITIES = {
    "O": "original landmarks",
    "F": "landmarks recomputed by FAN",
    "R": "valence and arousal regression",
    "C": "expression classification",
    "A": "attention",
    "S": "shake-shake weights of the MSE, PCC and CCC losses",
    "D": "distillation",
}


class Strict(BaseModel):
    """A part of the configuration: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Strict):
    """Where samples come from: a data set, its reader's arguments, and those of `noisy_labels`."""

    dataset: Literal["rendered", "affectnet", "afew_va", "sewa", "table"] = "rendered"
    options: dict[str, Any] = Field(default_factory=dict)
    noise: dict[str, int | float] = Field(default_factory=dict)

    @field_validator("noise")
    @classmethod
    def _known_noise(cls, value: dict[str, int | float]) -> dict[str, int | float]:
        known = [name for name in signature(noisy_labels).parameters if name != "samples"]
        unknown = [name for name in value if name not in known]
        if unknown:
            raise ValueError(f"there is no noise named {unknown[0]!r}; choose from {', '.join(known)}")
        return value


class Config(Strict):
    """A training run.

    Attributes
    ----------
    train, validation : Data
    network : {"emofan", "resnet18"}
    modality : str
        Letters of the paper's Table 5 joined by ``+``: see `MODALITIES`.
    loss : {"ccc", "mse", "pcc"}
        Regression loss without S (Table 6).
    width, input_size, n_expressions : int
        See `EmoFAN`; ``width`` is 64 for ResNet-18's original.
    weights : str, optional
        What `load_emofan` or `load_resnet18` takes, to start from: EmoFAN's FAN, or all but the last
        layer of ResNet-18, whose ImageNet weights are a state dict in a ``.pth`` file.
    keep_head : bool
        Start from the affect head, or the last layer, of ``weights`` too: fine-tuning.
    fan : str
        Weights that recompute landmarks for F.
    teacher : str, optional
        Weights of the teacher for D, a network like the student; without them a first run without
        D trains one.
    landmark_epochs, epochs : int
        Epochs of stage 1 (landmarks; EmoFAN only) and stage 2 (affect).
    settle : int
        So many epochs at the end of each stage keep the running statistics of batch norm; see
        `FaceModule`.
    balanced : bool
        Draw every expression equally often.
    context : float
        Room around the crop for augmentation; see `FaceDataset`.
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
        Lightning's; "auto" takes "bf16-mixed" where the hardware has it.
    compile : bool
        Run the network through ``torch.compile``.
    workers : int
        Processes that read pictures.
    half : bool
        Store the trained network in half precision.
    """

    train: Data = Data()
    validation: Data = Data()
    network: Literal["emofan", "resnet18"] = "emofan"
    modality: str = "O+R+C+A+S"
    loss: Literal["ccc", "mse", "pcc"] = "ccc"
    width: int = Field(256, ge=4)
    input_size: int = Field(256, ge=32)
    n_expressions: Literal[5, 8] = 8
    weights: str | None = None
    keep_head: bool = False
    fan: str = "demo"
    teacher: str | None = None
    landmark_epochs: int = Field(0, ge=0)
    epochs: int = Field(45, ge=1)
    settle: int = Field(0, ge=0)
    batch_size: int = Field(32, ge=2)
    landmark_optimiser: Optimiser = Optimiser()
    optimiser: Optimiser = Optimiser()
    augment: Augment | None = Augment()
    balanced: bool = False
    context: float = Field(1.25, ge=1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    compile: bool = False
    workers: int = Field(0, ge=0)
    half: bool = False
    seed: int = Field(0, ge=0, lt=2**32)
    out: Path = Path("out/run")

    @field_validator("modality")
    @classmethod
    def _known_letters(cls, value: str) -> str:
        letters = value.split("+")
        unknown = [x for x in letters if x not in MODALITIES]
        if unknown or len(set(letters)) < len(letters) or "R" not in letters or ("O" in letters) == ("F" in letters):
            raise ValueError(
                f"{value!r} is no modality: join R, one of O and F, and any of C, A, S, D with +, such as F+R+C+A"
            )
        return value

    @field_validator("augment")
    @classmethod
    def _possible_augment(cls, value: Augment | None) -> Augment | None:
        greatest = {"rotation": 180, "scale": 0.99, "translation": 1, "flip": 1, "gain": 1, "tint": 1}
        for name, limit in greatest.items():
            if value is not None and not 0 <= getattr(value, name) <= limit:
                raise ValueError(f"{name} is between 0 and {limit}, got {getattr(value, name)}")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if self.network == "emofan" and (self.width % 4 or self.input_size % 64):
            raise ValueError(
                f"EmoFAN halves its channels twice and its picture six times: make width ({self.width}) a multiple "
                f"of 4 and input_size ({self.input_size}) one of 64"
            )
        if self.network == "resnet18" and self.landmark_epochs:
            raise ValueError("resnet18 has no landmarks to learn: set landmark_epochs to 0")
        if self.network == "resnet18" and self.has("A"):
            raise ValueError("resnet18 has no attention: leave A out of the modality")
        return self

    def has(self, letter: str) -> bool:
        """Whether the modality includes ``letter``."""
        return letter in self.modality.split("+")


def read_config(path: str | os.PathLike, **changes: Any) -> Config:
    """The configuration in a YAML file, with ``changes`` on top.

    Parameters
    ----------
    path : path
        A file, or the name of one of the kit's recipes: see `RECIPES`.
    **changes
        A name may have dots: ``{"train.options.n": 64}`` changes one option only.

    Raises
    ------
    ValueError
        A name or value that does not fit; the message names file and field.
    FileNotFoundError
        Neither a file nor a recipe.
    """
    if str(path) in RECIPES:
        path = _HERE / f"{path}.yaml"
    elif not Path(path).exists():
        raise FileNotFoundError(f"{path} is neither a file nor one of the recipes {', '.join(RECIPES)}")
    try:
        written = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(written, dict):
            raise ValueError(f"{path} is a list or a word; write one 'name: value' per line")
        for name, value in changes.items():
            _put(written, name.split("."), value)
        return Config(**written)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}, {field}: {first['msg']} (got {first['input']!r})") from error


def _put(written: dict, names: list[str], value: Any) -> None:
    for name in names[:-1]:
        written = written.setdefault(name, {})
        if not isinstance(written, dict):
            raise ValueError(f"{'.'.join(names)}: {name} has no parts; give it as a whole")
    written[names[-1]] = value
