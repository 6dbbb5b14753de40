"""A configuration in, a trained network and its metrics out; the same call resumes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import nn
from torch.utils.data import DataLoader

from emokit.data.afew_va import read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.dataset import FaceDataset
from emokit.data.noise import noisy_labels
from emokit.data.rendered import rendered_faces
from emokit.data.sewa import extract_frames, read_sewa, subject_independent_split
from emokit.data.tables import read_table, write_table
from emokit.inference.faces import Detector
from emokit.inference.find import find_faces
from emokit.inference.landmarks import recompute_landmarks
from emokit.inference.quiet import interruptible, quiet
from emokit.models import EXPRESSIONS, EmoFAN, ResNet18, load_emofan, load_resnet18, save_emofan, save_resnet18
from emokit.training.config import Config, Data
from emokit.training.module import AffectModule, FaceModule, LandmarkModule, Optimiser, affect_metrics
from emokit.training.sampler import FaceSampler, balanced_weights


def sewa_faces(
    folder: str | os.PathLike,
    subset: str,
    *,
    seed: int = 0,
    detector: Detector | None = None,
    on_error: str = "raise",
    **options: Any,
) -> pd.DataFrame:
    """Faces of SEWA's "train", "validation" or "test" persons; ``options`` are those of `read_sewa`."""
    samples = read_sewa(folder, on_error=on_error, **options)
    samples = samples[subject_independent_split(samples, seed=seed) == subset]
    if samples.empty:
        raise ValueError(f"{folder} gives no sample for subset {subset!r}: it is train, validation or test")
    return find_faces(extract_frames(samples, on_error=on_error), detector)


READERS = {
    "affectnet": read_affectnet,
    "afew_va": read_afew_va,
    "rendered": rendered_faces,
    "sewa": sewa_faces,
    "table": read_table,
}


# What may change between a run and its continuation.
_FREE = {"epochs", "landmark_epochs", "workers", "out"}


def fit(
    config: Config,
    train: pd.DataFrame | None = None,
    validation: pd.DataFrame | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> dict[str, float]:
    """Train as ``config`` says; go on where an earlier call with the same ``out`` stopped.

    An interrupt (Ctrl-C, or the notebook's stop button) leaves the last epoch's checkpoint.

    Parameters
    ----------
    config : Config
    train, validation : DataFrame, optional
        Samples tables, instead of the configuration's.
    callbacks : sequence of Callback
        Further Lightning callbacks, such as live curves.
    progress : bool
        Show Lightning's progress bar.

    Returns
    -------
    dict
        Metrics of the validation faces. ``config.out`` receives them as ``result.json``, with
        ``predictions.parquet`` of these faces, ``model.safetensors``, the curves of every epoch
        in ``stage*/metrics.csv``, and the checkpoints that resuming needs. A finished run is not
        repeated.

    Raises
    ------
    ValueError
        ``config.out`` holds a run of another configuration or other samples, or a sample has no
        valence or arousal.
    """
    train = read(config.train) if train is None else train
    validation = read(config.validation) if validation is None else validation
    if _is_finished(config, train, validation):
        return json.loads((config.out / "result.json").read_text())
    if config.has("F"):
        fan = load_emofan(config.fan)
        train, validation = (recompute_landmarks(samples, fan) for samples in (train, validation))
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model = build(config)
    if config.landmark_epochs:
        stage = LandmarkModule(model, config.landmark_optimiser, config.augment, config.seed, config.settle)
        _run_stage(config, stage, config.landmark_epochs, "stage1", train, validation, callbacks, progress)
    teacher = _teacher(config, train, validation, callbacks, progress) if config.has("D") else None
    loss = "shake" if config.has("S") else config.loss
    stage = AffectModule(
        model, config.optimiser, config.augment, config.seed, config.settle,
        categories=config.has("C"), loss=loss, teacher=teacher,
    )  # fmt: skip
    result = _run_stage(config, stage, config.epochs, "stage2", train, validation, callbacks, progress)
    if not config.has("C"):
        result.pop("accuracy", None)
    if stage.global_rank == 0:
        save = save_resnet18 if config.network == "resnet18" else save_emofan
        save(model, weights_file(config), half=config.half)
        write_table(_predictions(stage, validation), config.out / "predictions.parquet")
        (config.out / "result.json").write_text(json.dumps(result, indent=2))
    return result


def _is_finished(config: Config, train: pd.DataFrame, validation: pd.DataFrame) -> bool:
    """Whether ``config.out`` holds this very run, finished; writes what is to be run there."""
    about: dict[str, Any] = json.loads(config.model_dump_json())
    about |= {"train faces": _fingerprint(train), "validation faces": _fingerprint(validation)}
    path = config.out / "config.json"
    before = json.loads(path.read_text()) if path.exists() else about
    changed = [name for name in about if name not in _FREE and about[name] != before.get(name)]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{config.out} holds a run with {name} {before.get(name)}, not {about[name]}; "
            "choose another out, or delete that folder"
        )
    if path.exists() and before == about and (config.out / "result.json").exists():
        return True
    if int(os.environ.get("RANK", 0)) == 0:
        config.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about, indent=2))
    return False


def _fingerprint(samples: pd.DataFrame) -> str:
    labels = samples[[c for c in ("id", "expression", "valence", "arousal") if c in samples]]
    return hashlib.sha256(pd.util.hash_pandas_object(labels, index=False).to_numpy().tobytes()).hexdigest()[:16]


def read(data: Data) -> pd.DataFrame:
    """The samples table that ``data`` names."""
    try:
        samples = READERS[data.dataset](**data.options)
    except TypeError as error:
        raise ValueError(f"options {data.options} do not fit the data set {data.dataset}: {error}") from error
    return noisy_labels(samples, **data.noise) if data.noise else samples


def _predictions(stage: AffectModule, samples: pd.DataFrame) -> pd.DataFrame:
    """What the trained network said of the validation faces, as a predictions table."""
    said, names = stage.said.cpu().numpy(), stage.model.expressions
    table = pd.DataFrame({"id": samples["id"].to_numpy()})
    table["expression"] = [names[k] for k in said[:, :-2].argmax(axis=1)]
    table[[f"p_{name}" for name in names]] = said[:, :-2]
    table[["valence", "arousal"]] = said[:, -2:]
    return table


def measure(samples: pd.DataFrame, predictions: pd.DataFrame, truth: str = "") -> dict[str, float]:
    """The paper's metrics of stored ``predictions``; ``truth="true_"`` takes labels without planted errors."""
    known = samples.set_index("id").loc[predictions["id"]]

    def numbers(table: pd.DataFrame, prefix: str) -> torch.Tensor:
        names = pd.Categorical(table.get(f"{prefix}expression", [None] * len(table)), categories=EXPRESSIONS[8])
        values = [names.codes, table[f"{prefix}valence"], table[f"{prefix}arousal"]]
        return torch.stack([torch.tensor(list(v), dtype=torch.float32) for v in values], dim=1)

    found = affect_metrics(numbers(known, truth), numbers(predictions, ""))
    return {name: float(value) for name, value in found.items()}


def build(config: Config) -> nn.Module:
    """The untrained network of ``config``, or the one in ``config.weights``."""
    if config.network == "resnet18":
        model = ResNet18(config.n_expressions, config.width, config.input_size)
        if config.weights:
            own = config.weights == "demo" or config.weights.endswith(".safetensors")
            if own:
                state = load_resnet18(config.weights).state_dict()
            else:  # ImageNet's last layer has a thousand classes
                state = torch.load(config.weights, map_location="cpu", weights_only=True)
            kept = {k: v for k, v in state.items() if not k.startswith("fc.") or (own and config.keep_head)}
            model.load_state_dict(kept, strict=False)
    else:
        model = EmoFAN(config.n_expressions, config.has("A"), config.width, input_size=config.input_size)
        if config.weights:
            state = load_emofan(config.weights).state_dict()
            expected = model.state_dict()
            kept = {k: v for k, v in state.items() if "emo_" not in k or config.keep_head}
            wrong = [k for k, v in kept.items() if k not in expected or v.shape != expected[k].shape]
            if wrong:
                raise ValueError(
                    f"{wrong[0]} of {config.weights} does not fit the configured network; "
                    "set width, n_expressions and attention (A) as those weights have them"
                )
            model.load_state_dict(kept, strict=False)
    return model.to(memory_format=torch.channels_last)


def weights_file(config: Config) -> Path:
    """Where a finished run has its trained network, for `load_emofan` or `load_resnet18`."""
    return config.out / "model.safetensors"


def evaluate(model: nn.Module, samples: pd.DataFrame, batch_size: int = 32) -> dict[str, float]:
    """The paper's metrics of ``model`` on ``samples``, and EmoFAN's landmark error.

    The landmark error is a share of the distance between the outer corners of the eyes.
    """
    model = model.to(memory_format=torch.channels_last)
    kinds = [AffectModule, LandmarkModule] if isinstance(model, EmoFAN) else [AffectModule]
    size = getattr(model, "input_size", 256)
    loader = DataLoader(FaceDataset(samples, size, model.expressions), batch_size)
    found: dict[str, float] = {}
    with quiet(), interruptible():
        trainer = lightning.Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
        )
        for kind in kinds:
            module = kind(model, Optimiser(), None, 0)
            found |= trainer.validate(module, loader, verbose=False)[0]
    return {name: float(value) for name, value in found.items()}


def _teacher(
    config: Config,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    callbacks: Sequence[Callback],
    progress: bool,
) -> nn.Module:
    """The teacher named in ``config``, or one trained like the student but without distillation."""
    load = load_resnet18 if config.network == "resnet18" else load_emofan
    if config.teacher:
        return load(config.teacher)
    letters = [x for x in config.modality.split("+") if x not in "DOF"]
    # The landmarks of these tables are chosen already.
    alone = config.model_copy(update={"modality": "+".join(["O", *letters]), "out": config.out / "teacher"})
    fit(alone, train, validation, callbacks, progress)
    return load(weights_file(alone))


def _run_stage(
    config: Config,
    stage: FaceModule,
    epochs: int,
    name: str,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    callbacks: Sequence[Callback],
    progress: bool,
) -> dict[str, float]:
    folder = config.out / name
    last = folder / "last.ckpt"
    with quiet(), interruptible():
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices="auto" if torch.cuda.is_available() else int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
            strategy="ddp" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else "auto",
            precision=precision_of(config.precision),
            callbacks=[LastCheckpoint(last), Curves(folder / "metrics.csv"), *callbacks],
            logger=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=progress,
        )
        if config.compile:
            stage.compile()
        loaders = (loader(config, train, True, trainer), loader(config, validation, False, trainer))
        trainer.fit(stage, *loaders, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        found = trainer.validate(stage, loaders[1], verbose=False)
    return {key: float(value) for key, value in found[0].items()}


class LastCheckpoint(Checkpoint):
    """The state after every epoch, in one file that is whole at any moment a process may be killed.

    Lightning's own checkpoint is copied to its place where that is another file system than the
    temporary folder's, so a kill can leave half of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        beside = self.path.with_suffix(".part")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            beside.replace(self.path)


class Curves(Callback):
    """Loss and metrics of every epoch as a CSV file, which goes on where a run goes on.

    Lightning's own CSV logger deletes what an interrupted run has written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.path.exists():
            known = pd.read_csv(self.path)
            self.rows = known[known["epoch"] < trainer.current_epoch].to_dict("records")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_table(pd.DataFrame(self.rows), self.path)


def loader(config: Config, samples: pd.DataFrame, training: bool, trainer: lightning.Trainer) -> DataLoader:
    """Batches of ``samples``: shuffled or balanced for ``training``, and this rank's share of them."""
    faces = FaceDataset(samples, config.input_size, EXPRESSIONS[config.n_expressions], config.context)
    unlabelled = np.isnan(faces.valence) | np.isnan(faces.arousal)
    if unlabelled.any():
        raise ValueError(f"sample {faces.ids[unlabelled][0]!r} has no valence or no arousal; leave such rows out")
    sampler = None
    ranks = {"rank": trainer.global_rank, "ranks": trainer.world_size}
    if training:
        weights = balanced_weights(faces.expression) if config.balanced else None
        sampler = FaceSampler(len(faces), config.seed, weights, **ranks)
    elif trainer.world_size > 1:
        sampler = torch.utils.data.DistributedSampler(faces, trainer.world_size, trainer.global_rank, shuffle=False)
    return DataLoader(
        faces,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        # A last batch of one face has no batch statistics.
        drop_last=training and len(faces) > config.batch_size,
        persistent_workers=config.workers > 0,
    )


def precision_of(asked: str) -> str:
    """Lightning's name of the precision; "auto" is mixed where the hardware is faster with it."""
    if asked != "auto":
        return asked
    # Matrix units make bfloat16 twice as fast; processors without them are slower with it.
    fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast else "32-true"
