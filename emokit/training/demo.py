"""Train the demo weights: ``python -m emokit.training.demo``.

The paper's two stages on rendered faces: FAN on landmark heatmaps, then FAN frozen and the
affect head trained jointly on expression (equation 5), CCC (6) and MSE (9). A checkpoint is
written after every epoch; the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from emokit.data.augment import MIRROR
from emokit.data.rendered import rendered_crops
from emokit.models.emofan import EmoFAN
from emokit.models.fan import landmarks_from_heatmaps
from emokit.models.weights import load_emofan, save_emofan
from emokit.training.losses import ccc_loss, concordance, heatmap_loss, mse_loss


def batches(crops: dict[str, np.ndarray], size: int, rng: np.random.Generator, device: str, label: str):
    """Shuffled batches of one epoch, a random half of each mirrored, brightness varied."""
    order = rng.permutation(len(crops["images"]))
    for start in tqdm(range(0, len(order) - size + 1, size), desc=label, disable=None):
        index = order[start : start + size]
        batch = {k: torch.from_numpy(v[index]).to(device) for k, v in crops.items()}
        images = batch["images"].permute(0, 3, 1, 2).float() / 255
        flip = torch.from_numpy(rng.random(size) < 0.5).to(device)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        gain = torch.from_numpy(rng.uniform(0.85, 1.15, (size, 1, 1, 1)).astype(np.float32)).to(device)
        mirrored = batch["landmarks"][:, MIRROR]
        mirrored[..., 0] = images.shape[3] - 1 - mirrored[..., 0]
        batch["landmarks"] = torch.where(flip[:, None, None], mirrored, batch["landmarks"])
        batch["images"] = (images * gain).clamp(0, 1).contiguous(memory_format=torch.channels_last)
        yield batch


def stage1_loss(model: EmoFAN, batch: dict[str, Tensor]) -> Tensor:
    """Heatmaps of both hourglasses."""
    maps = model.features(batch["images"]).heatmaps
    return sum(heatmap_loss(m.float(), batch["landmarks"]) for m in maps)


def stage2_loss(model: EmoFAN, batch: dict[str, Tensor]) -> Tensor:
    """Expression, valence and arousal on FAN's frozen features."""
    with torch.no_grad():
        features = model.features(batch["images"])
    out = model.affect(features)
    regression = (out.valence.float(), out.arousal.float(), batch["valence"], batch["arousal"])
    return F.cross_entropy(out.expression.float(), batch["expression"]) + ccc_loss(*regression) + mse_loss(*regression)


def freeze_fan(model: EmoFAN) -> None:
    """FAN in eval mode and without gradients; the affect head in training mode."""
    for name, module in model.named_children():
        module.train("emo_" in name)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("emo_" in name)


def train(args: argparse.Namespace) -> EmoFAN:
    torch.manual_seed(args.seed)
    crops = rendered_crops(args.faces, seed=args.seed, size=args.size)
    model = EmoFAN(width=args.width, input_size=args.size)
    model = model.to(args.device, memory_format=torch.channels_last)
    # Matrix units make bfloat16 twice as fast; without them it would be slower than float32.
    fast = args.device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for stage, epochs, rate, loss_of in (
        (1, args.epochs1, 2e-3, stage1_loss),
        (2, args.epochs2, 1e-3, stage2_loss),
    ):
        model.train()
        if stage == 2:
            freeze_fan(model)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-3 if stage == 2 else 0)
        steps = epochs * (args.faces // args.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
        checkpoint = out / f"stage{stage}.pt"
        first = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            schedule.load_state_dict(state["schedule"])
            first = state["epoch"]
        for epoch in range(first, epochs):
            rng = np.random.default_rng([args.seed, stage, epoch])
            started, losses = time.perf_counter(), []
            for batch in batches(crops, args.batch, rng, args.device, f"stage {stage} epoch {epoch + 1}/{epochs}"):
                with torch.autocast(args.device, torch.bfloat16, enabled=fast):
                    loss = loss_of(model, batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
                losses.append(loss.detach())
            mean = torch.stack(losses).mean().item()
            print(
                f"stage {stage} epoch {epoch + 1}/{epochs}: loss {mean:.4f}, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(),
                     "schedule": schedule.state_dict(), "epoch": epoch + 1}  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
    return model.eval()


@torch.inference_mode()
def evaluate(model: EmoFAN, crops: dict[str, np.ndarray], device: str = "cpu") -> dict[str, float]:
    """Accuracy, CCC and landmark error (share of the inter-ocular distance) on ``crops``."""
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, len(crops["images"]), 64):
        images = torch.from_numpy(crops["images"][start : start + 64]).to(device).permute(0, 3, 1, 2).float() / 255
        out = model(images)
        found.append((landmarks_from_heatmaps(out.heatmaps)[0], out.expression, out.valence, out.arousal))
    landmarks, expression, valence, arousal = (torch.cat(p).cpu() for p in zip(*found, strict=True))
    truth = {k: torch.from_numpy(v) for k, v in crops.items() if k != "images"}
    eyes = (truth["landmarks"][:, 36] - truth["landmarks"][:, 45]).norm(dim=1)
    error = (landmarks - truth["landmarks"]).norm(dim=2).mean(dim=1) / eyes
    return {
        "faces": len(valence),
        "expression accuracy": (expression.argmax(1) == truth["expression"]).float().mean().item(),
        "valence CCC": concordance(valence.clamp(-1, 1), truth["valence"]).item(),
        "arousal CCC": concordance(arousal.clamp(-1, 1), truth["arousal"]).item(),
        "landmark error": error.mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="out/demo", help="folder of checkpoints and results")
    parser.add_argument("--faces", type=int, default=12_000)
    parser.add_argument("--test-faces", type=int, default=2000)
    parser.add_argument("--epochs1", type=int, default=10, help="epochs of stage 1 (landmarks)")
    parser.add_argument("--epochs2", type=int, default=14, help="epochs of stage 2 (affect)")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--evaluate", action="store_true", help="measure the weights that ship, and train nothing")
    args = parser.parse_args()
    out = Path(args.out)
    if args.evaluate:
        model = load_emofan("demo", device=args.device)
    else:
        model = train(args)
        save_emofan(model, out / "demo.safetensors", half=True)
    # Other seeds are other persons: nothing below was seen in training.
    result = evaluate(model, rendered_crops(args.test_faces, seed=args.seed + 1000, size=args.size), args.device)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
