"""A configuration in, a trained network and its metrics out; the same call resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from emokit.data.afew_va import read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.dataset import FaceDataset
from emokit.data.rendered import rendered_faces
from emokit.data.tables import read_table
from emokit.inference.landmarks import recompute_landmarks
from emokit.models import EXPRESSIONS, EmoFAN, ResNet18, load_emofan, save_emofan
from emokit.training.config import Config, Data
from emokit.training.module import AffectModule, FaceModule, LandmarkModule
from emokit.training.sampler import FaceSampler, balanced_weights

READERS = {
    "affectnet": read_affectnet,
    "afew_va": read_afew_va,
    "rendered": rendered_faces,
    "table": read_table,
}


def fit(
    config: Config,
    train: pd.DataFrame | None = None,
    validation: pd.DataFrame | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, float]:
    """Train as ``config`` says; go on where an earlier call with the same ``out`` stopped.

    Parameters
    ----------
    config : Config
    train, validation : DataFrame, optional
        Samples tables, instead of the configuration's.
    callbacks : sequence of Callback
        Further Lightning callbacks, such as live curves.

    Returns
    -------
    dict
        Metrics of the validation faces. ``config.out`` receives them as ``result.json``, with
        ``model.safetensors`` or, for ResNet-18, ``model.pth``, the curves of every epoch in
        ``stage*/metrics.csv``, and the checkpoints that resuming needs.
    """
    train = read(config.train) if train is None else train
    validation = read(config.validation) if validation is None else validation
    if config.has("F"):
        fan = load_emofan(config.fan)
        train, validation = (recompute_landmarks(samples, fan) for samples in (train, validation))
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model = build(config)
    if config.landmark_epochs:
        stage = LandmarkModule(model, config.landmark_optimiser, config.augment, config.seed)
        _run_stage(config, stage, config.landmark_epochs, "stage1", train, validation, callbacks)
    teacher = _teacher(config, train, validation, callbacks) if config.has("D") else None
    loss = "shake" if config.has("S") else config.loss
    stage = AffectModule(
        model, config.optimiser, config.augment, config.seed, categories=config.has("C"), loss=loss, teacher=teacher
    )
    result = _run_stage(config, stage, config.epochs, "stage2", train, validation, callbacks)
    if not config.has("C"):
        result.pop("accuracy", None)
    if stage.global_rank == 0:
        save(model, config.out)
        (config.out / "result.json").write_text(json.dumps(result, indent=2))
    return result


def read(data: Data) -> pd.DataFrame:
    """The samples table that ``data`` names."""
    return READERS[data.dataset](**data.options)


def build(config: Config) -> nn.Module:
    """The untrained network of ``config``, or the one in ``config.weights``."""
    if config.network == "resnet18":
        model = ResNet18(config.n_expressions, config.width)
        if config.weights:
            state = torch.load(config.weights, map_location="cpu", weights_only=True)
            # ImageNet's last layer has a thousand classes: everything before it is kept.
            model.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False)
    else:
        model = EmoFAN(config.n_expressions, config.has("A"), config.width, input_size=config.input_size)
        if config.weights:
            state = load_emofan(config.weights).state_dict()
            expected = model.state_dict()
            model.load_state_dict({k: v for k, v in state.items() if v.shape == expected[k].shape}, strict=False)
    return model.to(memory_format=torch.channels_last)


def save(model: nn.Module, folder: Path) -> Path:
    """Write the trained network into ``folder``."""
    if isinstance(model, EmoFAN):
        save_emofan(model, folder / "model.safetensors")
        return folder / "model.safetensors"
    torch.save(model.state_dict(), folder / "model.pth")
    return folder / "model.pth"


def _teacher(config: Config, train: pd.DataFrame, validation: pd.DataFrame, callbacks: Sequence[Callback]) -> nn.Module:
    """The teacher named in ``config``, or one trained like the student but without distillation."""
    if config.teacher:
        return load_emofan(config.teacher)
    letters = [x for x in config.modality.split("+") if x not in "DOF"]
    # The landmarks of these tables are chosen already.
    alone = config.model_copy(update={"modality": "+".join(["O", *letters]), "out": config.out / "teacher"})
    fit(alone, train, validation, callbacks)
    model = build(alone.model_copy(update={"weights": None}))
    if isinstance(model, EmoFAN):
        return load_emofan(alone.out / "model.safetensors")
    model.load_state_dict(torch.load(alone.out / "model.pth", weights_only=True))
    return model


def _run_stage(
    config: Config,
    stage: FaceModule,
    epochs: int,
    name: str,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    callbacks: Sequence[Callback],
) -> dict[str, float]:
    folder = config.out / name
    last = folder / "last.ckpt"
    keep = ModelCheckpoint(folder, save_last=True, save_top_k=0, enable_version_counter=False)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices="auto" if torch.cuda.is_available() else int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        strategy="ddp" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else "auto",
        precision=_precision(config.precision),
        callbacks=[keep, *callbacks],
        logger=CSVLogger(config.out, name="", version=name),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    if config.compile:
        stage.compile()
    loaders = (_loader(config, train, True, trainer), _loader(config, validation, False, trainer))
    trainer.fit(stage, *loaders, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    found = trainer.validate(stage, loaders[1], verbose=False)
    return {key: float(value) for key, value in found[0].items()}


def _loader(config: Config, samples: pd.DataFrame, training: bool, trainer: lightning.Trainer) -> DataLoader:
    faces = FaceDataset(samples, config.input_size, EXPRESSIONS[config.n_expressions], config.context)
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


def _precision(asked: str) -> str:
    if asked != "auto":
        return asked
    # Matrix units make bfloat16 twice as fast; processors without them are slower with it.
    fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast else "32-true"
