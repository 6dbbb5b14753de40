"""The network that a run starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emokit.models import EmoFAN, ResNet18, load_emofan, load_resnet18
from emokit.training.config import Config


def build(config: Config) -> nn.Module:
    """The untrained network of ``config``, or the one in ``config.weights``.

    Raises
    ------
    ValueError
        A tensor of the weights is missing, unknown or misshapen; without ``keep_head`` the head may be.
    """
    emofan = config.network == "emofan"
    if emofan:
        model = EmoFAN(config.n_expressions, config.has("A"), config.width, input_size=config.input_size)
    else:
        model = ResNet18(config.n_expressions, config.width, config.input_size)
    if config.weights:
        head = () if config.keep_head else ("emo_",) if emofan else ("fc.",)
        own, given = (
            {name: tensor for name, tensor in state.items() if not any(part in name for part in head)}
            for state in (model.state_dict(), _state(config))
        )
        _check(own, given, config)
        model.load_state_dict(given, strict=False)
    return model.to(memory_format=torch.channels_last)


def check_start(config: Config) -> None:
    """Refuse to train an affect head on features that nobody has trained.

    Raises
    ------
    ValueError
        EmoFAN has neither ``weights`` nor ``landmark_epochs``.
    """
    if config.network == "emofan" and not config.weights and not config.landmark_epochs:
        raise ValueError(
            "weights: none are given, so the affect head would learn from a frozen FAN of random numbers; give "
            "weights=FILE, an EmoFAN whose FAN has learnt landmarks ('emonet-8' is the paper's, 'demo' knows only "
            "drawings), or train FAN first with landmark_epochs"
        )


def _state(config: Config) -> dict[str, Tensor]:
    if config.network == "emofan":
        return load_emofan(config.weights).state_dict()
    if config.weights == "demo" or config.weights.endswith(".safetensors"):
        return load_resnet18(config.weights).state_dict()
    # ImageNet's last layer has a thousand classes, which `load_resnet18` refuses.
    state = torch.load(config.weights, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _check(own: dict[str, Tensor], given: dict[str, Tensor], config: Config) -> None:
    # Weights from before PyTorch 0.4.1, ImageNet's among them, lack the counts of batches.
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unknown = [name for name in given if name not in own]
    misshapen = [name for name in own if name in given and given[name].shape != own[name].shape]
    for names, problem in ((missing, "are missing"), (unknown, "are unknown"), (misshapen, "have another shape")):
        if names:
            mend = (
                "set width, n_expressions and attention (A) as those weights have them"
                if config.network == "emofan"
                else "give a ResNet-18 with torchvision's names (conv1.weight, layer1.0.conv1.weight, …) of this width"
            )
            raise ValueError(
                f"weights: {config.weights} does not fit the configured network: {len(names)} tensors {problem}, "
                f"such as {names[0]}; {mend}"
            )
