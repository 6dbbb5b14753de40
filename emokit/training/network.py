"""The network that a run starts from."""

from __future__ import annotations

import torch
from torch import nn

from emokit.models import EmoFAN, ResNet18, load_emofan, load_resnet18
from emokit.training.config import Config


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
