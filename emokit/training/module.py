"""What is trained, as Lightning modules: landmarks first, then affect on frozen features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import lightning
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from emokit.data.augment import Augment
from emokit.models.emofan import AffectOutput, EmoFAN
from emokit.models.fan import FANFeatures, landmarks_from_heatmaps
from emokit.training.distributed import gather_batch
from emokit.training.losses import (
    category_loss,
    concordance,
    correlation,
    distillation_loss,
    heatmap_loss,
    regression_loss,
    shake_weights,
)

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Optimiser:
    """Adam whose learning rate falls to ``factor`` of itself every ``step`` epochs (paper, "Implementation").

    ``schedule="one-cycle"`` rises to the learning rate and falls to nothing in one run instead,
    which gets further in few epochs; such a run cannot be prolonged.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    step: Annotated[int, Field(ge=1)] = 15
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    schedule: Literal["step", "one-cycle"] = "step"


class FaceModule(lightning.LightningModule):
    """What both stages share: batches on the device, seeded augmentation, the optimiser.

    Every random number of a step follows from seed, epoch, batch and rank, so that a run
    that was killed goes on as if it had not been.

    In the last ``settle`` epochs batch norm keeps its running statistics, as it will in use. A rare
    face stretches the statistics of its own batch and so looks tame while they are in force; with
    the running ones its features grow from block to block, and only now is that learnt.
    """

    def __init__(
        self, model: nn.Module, optimiser: Optimiser, augment: Augment | None, seed: int, settle: int = 0
    ) -> None:
        super().__init__()
        self.model, self.optimiser, self.augment, self.seed = model, optimiser, augment, seed
        self.settle = settle
        self._graded: list[tuple[nn.Parameter, bool]] = []

    def trained(self) -> Iterable[nn.Parameter]:
        """Parameters that this stage changes; the others are frozen for as long as it runs."""
        return self.model.parameters()

    def setup(self, stage: str) -> None:
        # Data-parallel training waits for the gradient of every parameter that may have one.
        if stage == "fit":
            trained = set(self.trained())
            self._graded = [(p, p.requires_grad) for p in self.model.parameters()]
            for parameter, _ in self._graded:
                parameter.requires_grad_(parameter in trained)

    def teardown(self, stage: str) -> None:
        for parameter, graded in self._graded:
            parameter.requires_grad_(graded)
        self._graded = []

    def configure_optimizers(self):  # noqa: D102
        o = self.optimiser
        adam = torch.optim.Adam(self.trained(), o.learning_rate, (o.beta1, o.beta2), weight_decay=o.weight_decay)
        if o.schedule == "step":
            return [adam], [torch.optim.lr_scheduler.StepLR(adam, o.step, o.factor)]
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, o.learning_rate, int(self.trainer.estimated_stepping_batches))
        return [adam], [{"scheduler": cycle, "interval": "step"}]

    def on_train_epoch_start(self) -> None:
        self.train()
        if self.current_epoch >= self.trainer.max_epochs - self.settle:
            for part in self.model.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    def generator(self, batch_index: int, rank: int = 0) -> torch.Generator:
        """Random numbers of one step."""
        state = np.random.SeedSequence([self.seed, self.current_epoch, batch_index, rank])
        return torch.Generator().manual_seed(int(state.generate_state(1)[0]))

    def inputs(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Images in [0, 1], channels last, and landmarks; augmented where a ``generator`` is given."""
        size = getattr(self.model, "input_size", 256)
        images, landmarks = batch["image"].float() / 255, batch["landmarks"]
        if generator is not None and self.augment is not None:
            images, landmarks = self.augment(images, landmarks, size, generator)
        elif images.shape[-1] > size:
            edge = (images.shape[-1] - size) // 2
            images, landmarks = images[..., edge : edge + size, edge : edge + size], landmarks - edge
        return images.contiguous(memory_format=torch.channels_last), landmarks


class LandmarkModule(FaceModule):
    """Stage 1: FAN on heatmaps of the 68 landmarks, both hourglasses supervised."""

    def trained(self) -> Iterable[nn.Parameter]:
        return [p for name, p in self.model.named_parameters() if "emo_" not in name]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.features(images).heatmaps

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        images, landmarks = self.inputs(batch, self.generator(batch_index, self.global_rank))
        loss = sum(heatmap_loss(maps.float(), landmarks) for maps in self(images))
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        images, landmarks = self.inputs(batch)
        found, _ = landmarks_from_heatmaps(self(images)[-1].float())
        eyes = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=1, keepdim=True)
        error = ((found - landmarks).norm(dim=2) / eyes).mean()
        self.log("landmark_error", error, prog_bar=True, batch_size=len(images), sync_dist=True)


class AffectModule(FaceModule):
    """Stage 2, the baseline, distillation and fine-tuning: expression, valence and arousal.

    EmoFAN's FAN is frozen: it runs in eval mode and without autograd. A teacher with the same FAN reads
    its features instead of computing them again.

    Parameters
    ----------
    model : EmoFAN or ResNet18
    optimiser : Optimiser
    augment : Augment, optional
    seed : int
    settle : int
        See `FaceModule`.
    categories : bool
        Train expression too (modality C).
    loss : {"ccc", "mse", "pcc", "shake"}
        Regression loss: one of them, or their weighted sum with random weights (modality S).
    teacher : EmoFAN or ResNet18, optional
        The student learns valence and arousal from the teacher instead of from the labels, and
        the KL divergence of their expressions joins the loss (modality D).
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: Optimiser = Optimiser(),
        augment: Augment | None = Augment(),
        seed: int = 0,
        settle: int = 0,
        *,
        categories: bool = True,
        loss: str = "shake",
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__(model, optimiser, augment, seed, settle)
        self.categories, self.loss = categories, loss
        # In a list, so that it is neither trained nor saved with the student.
        self._teacher = [] if teacher is None else [teacher.eval().requires_grad_(False)]
        self._one_fan = False
        self._seen: list[Tensor] = []
        self.said: Tensor | None = None

    def trained(self) -> Iterable[nn.Parameter]:
        return self.model.head_parameters() if isinstance(self.model, EmoFAN) else self.model.parameters()

    def train(self, mode: bool = True) -> AffectModule:
        super().train(mode)
        if isinstance(self.model, EmoFAN):
            for name, child in self.model.named_children():
                child.train(mode and "emo_" in name)
        return self

    def on_fit_start(self) -> None:
        for teacher in self._teacher:
            teacher.to(self.device, memory_format=torch.channels_last)
            self._one_fan = _have_one_fan(self.model, teacher)

    def forward(self, images: Tensor, teach: bool = False) -> tuple[AffectOutput, AffectOutput | None]:
        """What the network says of ``images`` and, where asked to ``teach``, what its teacher says."""
        features = self._features(images)
        out = self.model(images) if features is None else self.model.affect(features)
        return out, self._taught(images, features) if teach else None

    @torch.no_grad()
    def _features(self, images: Tensor) -> FANFeatures | None:
        return self.model.features(images) if isinstance(self.model, EmoFAN) else None

    @torch.no_grad()
    def _taught(self, images: Tensor, features: FANFeatures | None) -> AffectOutput | None:
        if not self._teacher:
            return None
        (teacher,) = self._teacher
        return teacher.affect(features) if self._one_fan else teacher(images)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        images, _ = self.inputs(batch, self.generator(batch_index, self.global_rank))
        out, taught = self(images, teach=True)
        labels = (batch[name] for name in ("expression", "valence", "arousal"))
        together = map(gather_batch, (out.expression.float(), out.valence.float(), out.arousal.float(), *labels))
        loss = self.affect_loss(*together, taught, self.generator(batch_index))
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def affect_loss(
        self,
        logits: Tensor,
        valence: Tensor,
        arousal: Tensor,
        expression: Tensor,
        true_valence: Tensor,
        true_arousal: Tensor,
        taught: AffectOutput | None,
        generator: torch.Generator,
    ) -> Tensor:
        """The paper's loss (equation 8) of a batch gathered from all ranks; ``taught`` is this rank's share."""
        loss = valence.new_zeros(())
        if self.categories:
            loss = loss + category_loss(logits, expression)
        if taught is not None:
            true_valence, true_arousal = (
                gather_batch(x.float().clamp(-1, 1)) for x in (taught.valence, taught.arousal)
            )
            if self.categories:
                loss = loss + distillation_loss(logits, gather_batch(taught.expression.float()))
        weights = shake_weights(generator) if self.loss == "shake" else {self.loss: 1.0}
        return loss + regression_loss(valence, arousal, true_valence, true_arousal, weights)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        images, _ = self.inputs(batch)
        out, _ = self(images)
        columns = (
            *(batch[name].float() for name in ("index", "expression", "valence", "arousal")),
            *out.expression.float().softmax(dim=1).T,
            out.valence.float().clamp(-1, 1),
            out.arousal.float().clamp(-1, 1),
        )
        self._seen.append(gather_batch(torch.stack(columns, dim=1).double()))

    def on_validation_epoch_end(self) -> None:
        seen = torch.cat(self._seen)
        self._seen.clear()
        # Ranks of unequal share are dealt some faces twice.
        _, first = np.unique(seen[:, 0].cpu().numpy(), return_index=True)
        seen = seen[torch.from_numpy(first).to(seen.device)]
        known, self.said = seen[:, 1:4], seen[:, 4:]
        said = torch.cat((self.said[:, :-2].argmax(dim=1, keepdim=True), self.said[:, -2:]), dim=1)
        for name, value in affect_metrics(known, said).items():
            self.log(name, value, prog_bar=name.startswith("ccc"), rank_zero_only=self.trainer.world_size > 1)


def _have_one_fan(first: nn.Module, second: nn.Module) -> bool:
    """Whether two EmoFANs compute the same features."""
    if not (isinstance(first, EmoFAN) and isinstance(second, EmoFAN)):
        return False
    one, other = (
        {name: tensor for name, tensor in network.state_dict().items() if "emo_" not in name}
        for network in (first, second)
    )
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def affect_metrics(known: Tensor, said: Tensor) -> dict[str, Tensor]:
    """The paper's metrics from (N, 3) tables of class (-1 for none), valence and arousal, which is clipped."""
    found = {}
    labelled = known[:, 0] >= 0
    if labelled.any():
        found["accuracy"] = (known[labelled, 0] == said[labelled, 0]).float().mean()
    for column, name in ((1, "valence"), (2, "arousal")):
        true, predicted = known[:, column], said[:, column].clamp(-1, 1)
        found[f"rmse_{name}"] = (true - predicted).square().mean().sqrt()
        found[f"sagr_{name}"] = (true.sign() == predicted.sign()).float().mean()
        found[f"pcc_{name}"] = correlation(predicted, true)
        found[f"ccc_{name}"] = concordance(predicted, true)
    return found
