"""A configuration in, a trained network and its metrics out; the same call resumes."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from emokit.data.afew_va import read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.dataset import FaceDataset
from emokit.data.extraction import extract_frames
from emokit.data.noise import noisy_labels
from emokit.data.rendered import rendered_faces
from emokit.data.sewa import read_sewa, subject_independent_split
from emokit.data.tables import read_table, write_table
from emokit.inference.faces import Detector
from emokit.inference.find import find_faces
from emokit.inference.landmarks import recompute_landmarks
from emokit.inference.quiet import interruptible, quiet
from emokit.models import EXPRESSIONS, EmoFAN, load_emofan, load_resnet18, save_emofan, save_resnet18
from emokit.training.config import Config, Data
from emokit.training.module import AffectModule, FaceModule, LandmarkModule, Optimiser, affect_metrics
from emokit.training.network import build, check_start
from emokit.training.progress import Curves, LastCheckpoint
from emokit.training.record import finished, weights_file
from emokit.training.sampler import FaceSampler, balanced_weights
from emokit.whole import write_json


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
        ``config.out`` holds a run of another configuration or other samples, a sample has no
        valence or arousal, a table has no rows, or EmoFAN has no trained FAN to start from.
    """
    check_start(config)
    train = read(config.train) if train is None else train
    validation = read(config.validation) if validation is None else validation
    for name, samples in (("train", train), ("validation", validation)):
        if samples.empty:
            raise ValueError(f"{name}: the samples table has no rows; check its options, or the table that was given")
    if result := finished(config, train, validation):
        return result
    if config.has("F"):
        fan = _fan(config)
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
        write_json(result, config.out / "result.json")
    # The others may read these files as soon as they return, and give the same metrics.
    stage.trainer.strategy.barrier()
    return json.loads((config.out / "result.json").read_text())


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


def _fan(config: Config) -> EmoFAN:
    """The network that recomputes landmarks for F; the demo's is announced where pictures may be photographs."""
    if config.fan == "demo" and config.train.dataset != "rendered":
        warnings.warn(
            "fan: 'demo' has seen only drawings, and F recomputes the landmarks of your pictures with it; for "
            "photographs give fan=FILE, an EmoFAN that has learnt their landmarks ('emonet-8' is the paper's), or "
            "keep the data set's own landmarks with O instead of F",
            stacklevel=3,
        )
    return load_emofan(config.fan)


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
            sync_batchnorm=torch.cuda.is_available(),  # PyTorch has none for processors
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
