"""Where weights come from: the kit's demo, the paper's release, or a file of yours.

Nothing read here can run code: safetensors files hold no code, and PyTorch files are opened
with ``weights_only=True``.
"""

from __future__ import annotations

import json
import os
import warnings
from importlib.resources import files
from pathlib import Path

import pooch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emokit.models.emofan import EmoFAN
from emokit.models.resnet import ResNet18
from emokit.whole import whole

LICENCE_VARIABLE = "EMOKIT_ACCEPT_LICENCE"
LICENCE = (
    "The weights '{name}' are the work of Toisoul et al. (2021), published at "
    "github.com/face-analysis/emonet under CC BY-NC-ND 4.0: non-commercial use only, with "
    "attribution, no derivatives shared (creativecommons.org/licenses/by-nc-nd/4.0)."
)
DEMO_WARNING = (
    "The demo weights have seen only rendered faces. On photographs of people their landmarks, "
    "expression, valence and arousal are illustrations, not measurements; "
    'load_emofan("emonet-8", accept_licence=True) loads the paper\'s weights.'
)
BASE_URL = "https://github.com/face-analysis/emonet/raw/master/pretrained/"
PUBLISHED = {
    "emonet-8": (
        "emonet_8.pth",
        "52918cffba56f31886e6959f6837266a5f7ef5c0a552baf4c6dabe1e8fa9bc97",
    ),
    "emonet-5": (
        "emonet_5.pth",
        "1d8fac689dc04fc65a8a25c050bd5888e1fc794fcf71c2b20a1f2e6b78d933dd",
    ),
}


class WeightsError(RuntimeError):
    """Weights that cannot be had or used; the message says why, and the mend."""


def load_emofan(
    name_or_path: str | os.PathLike = "demo",
    *,
    accept_licence: bool = False,
    n_expressions: int | None = None,
    cache: str | os.PathLike | None = None,
    base_url: str = BASE_URL,
    device: str | torch.device = "cpu",
) -> EmoFAN:
    """EmoFAN in eval mode, with weights.

    Parameters
    ----------
    name_or_path : str or path
        ``"demo"`` (ships with emokit), ``"emonet-8"`` or ``"emonet-5"`` (the paper's, 56 MB,
        downloaded once), or a file: safetensors written by `save_emofan`, or a state dict
        with the public checkpoint's names (``module.`` prefixes are dropped).
    accept_licence : bool
        Accepts the licence of the paper's weights (CC BY-NC-ND 4.0); so does setting
        ``EMOKIT_ACCEPT_LICENCE=1``.
    n_expressions : {5, 8}, optional
        Checked against the file's own number of classes.
    cache : path, optional
        Folder for downloads; the user's cache otherwise.
    base_url : str
        Folder of the published weights, for mirrors.
    device : str or torch.device

    Raises
    ------
    WeightsError
        No such file, no network, wrong hash, not weights, missing or misshapen tensors, a
        licence not accepted. The message says which, and the mend.
    """
    name = str(name_or_path)
    if name == "demo":
        warnings.warn(DEMO_WARNING, stacklevel=2)
        path = Path(str(files("emokit") / "weights" / "demo.safetensors"))
    elif name in PUBLISHED:
        path = _published(name, accept_licence, cache, base_url)
    else:
        path = Path(name_or_path).expanduser()
    if not path.is_file():
        known = ", ".join(repr(n) for n in ("demo", *PUBLISHED))
        raise WeightsError(f"no weights at {path}; give an existing file or one of {known}")
    state, config = _read(path)
    model = _build(config or _config_from(state, path), path)
    if n_expressions not in (None, model.n_expressions):
        raise WeightsError(
            f"{path} has {model.n_expressions} expression classes, not {n_expressions}; "
            "leave n_expressions out or choose other weights"
        )
    _check(model, state, path)
    model.load_state_dict(state)
    return model.eval().to(device)


def load_resnet18(name_or_path: str | os.PathLike = "demo", *, device: str | torch.device = "cpu") -> ResNet18:
    """ResNet-18, the paper's baseline, in eval mode, with weights.

    Parameters
    ----------
    name_or_path : str or path
        ``"demo"`` (ships with emokit), or a file: safetensors written by `save_resnet18`, or a
        state dict.
    device : str or torch.device

    Raises
    ------
    WeightsError
        No such file, or not the weights of a `ResNet18`; the message names it.
    """
    if str(name_or_path) == "demo":
        warnings.warn(DEMO_WARNING, stacklevel=2)
        path = Path(str(files("emokit") / "weights" / "demo_resnet18.safetensors"))
    else:
        path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; give 'demo', or the model.safetensors of a finished run")
    state, config = _read(path)
    try:
        scores, channels = state["fc.weight"].shape
        model = ResNet18(**(config or {"n_expressions": scores - 2, "width": channels // 8}))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a ResNet-18 of emokit ({error}); give the model.safetensors of a run"
        ) from error
    _check(model, state, path)
    model.load_state_dict(state)
    return model.eval().to(device)


def save_emofan(model: EmoFAN, path: str | os.PathLike, *, half: bool = False) -> None:
    """Write ``model`` and its configuration as safetensors, for `load_emofan`.

    Parameters
    ----------
    model : EmoFAN
    path : path
        Ends in ``.safetensors``.
    half : bool
        Store half-precision numbers: half the file, outputs equal to about three digits.
    """
    _write(model, Path(path), half)


def save_resnet18(model: ResNet18, path: str | os.PathLike, *, half: bool = False) -> None:
    """Write ``model`` and its configuration as safetensors, for `load_resnet18`; see `save_emofan`."""
    _write(model, Path(path), half)


def download(url: str, sha256: str, folder: str | os.PathLike | None = None) -> Path:
    """The file at ``url``, downloaded once into ``folder`` (the user's cache by default).

    A file already there is used if its hash is right, and replaced if it is damaged.

    Raises
    ------
    WeightsError
        No network, no such file, or a file with another hash.
    """
    folder = Path(folder) if folder else Path(pooch.os_cache("emokit"))
    file = url.rsplit("/", 1)[-1]
    try:
        # pooch moves a download to its place only when its hash is right.
        return Path(pooch.retrieve(url, f"sha256:{sha256}", file, folder, progressbar=True))
    except OSError as error:  # all of requests' exceptions are
        raise WeightsError(
            f"could not download {url} ({error}); check the network and try again, or get the file "
            f"elsewhere and put it at {folder / file}"
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"what {url} sends is not the published file (its sha256 differs): cut short or altered; "
            f"try again, or get the file elsewhere and put it at {folder / file}"
        ) from error


def _write(model: EmoFAN | ResNet18, path: Path, half: bool) -> None:
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} does not end in .safetensors; rename it")
    state = {
        k: (v.half() if half and v.is_floating_point() else v).contiguous().cpu() for k, v in model.state_dict().items()
    }
    with whole(path) as beside:
        save_file(state, beside, metadata={"config": json.dumps(model.config)})


def _published(name: str, accepted: bool, cache: str | os.PathLike | None, base_url: str) -> Path:
    """The paper's weights, once their licence is accepted; it is shown every time."""
    file, sha256 = PUBLISHED[name]
    folder = Path(cache) if cache else Path(pooch.os_cache("emokit"))
    licence = LICENCE.format(name=name)
    # A file lies in the cache only after its licence was accepted there.
    if not (accepted or os.environ.get(LICENCE_VARIABLE) == "1" or (folder / file).exists()):
        raise WeightsError(
            f"{licence} To accept, call load_emofan({name!r}, accept_licence=True) or set {LICENCE_VARIABLE}=1."
        )
    print(licence)
    return download(base_url + file, sha256, folder)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict | None]:
    """State dict and, where the file carries it, the configuration."""
    mend = "give a .safetensors file that emokit saved or a PyTorch state dict (.pth)"
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
                config = json.loads((file.metadata() or {}).get("config", "null"))
        except (SafetensorError, ValueError) as error:
            raise WeightsError(f"{path} is not a safetensors file ({error}); {mend}") from error
    else:
        try:
            state, config = torch.load(path, map_location="cpu", weights_only=True), None
        except Exception as error:  # a file that is no archive of tensors fails in any of many ways
            raise WeightsError(f"{path} does not hold plain weights and was not run; {mend}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(f"{path} holds no state dict of tensors; {mend}")
    state = {k.removeprefix("module."): v for k, v in state.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, config


def _config_from(state: dict[str, torch.Tensor], path: Path) -> dict:
    """Configuration that the shapes of a bare state dict imply."""
    try:
        width = state["l1.weight"].shape[1]
        return {
            "n_expressions": state["emo_fc_2.3.weight"].shape[0] - 2,
            "attention": state["conv1x1_input_emo_2.weight"].shape[1] == 3 * width,
            "width": width,
            "depth": sum(k.startswith("m0.b1_") and k.endswith("bn1.weight") for k in state),
        }
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"{path} is not an EmoFAN checkpoint: it lacks {error}; check that it is a whole "
            "EmoFAN, not FAN alone or another network"
        ) from error


def _build(config: dict, path: Path) -> EmoFAN:
    try:
        return EmoFAN(**config)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path} describes a network that EmoFAN cannot be: {error}") from error


def _check(model: torch.nn.Module, found: dict, path: Path) -> None:
    expected, name = model.state_dict(), type(model).__name__
    missing = [k for k in expected if k not in found]
    extra = [k for k in found if k not in expected]
    misshapen = [
        f"{k} is {tuple(found[k].shape)}, not {tuple(v.shape)}"
        for k, v in expected.items()
        if k in found and found[k].shape != v.shape
    ]
    problems = [
        f"{len(n)} tensors {word} ({', '.join(n[:3])}{', …' if len(n) > 3 else ''})"
        for n, word in ((missing, "missing"), (extra, "unknown"), (misshapen, "misshapen"))
        if n
    ]
    if problems:
        raise WeightsError(
            f"{path} does not fit {name}: {'; '.join(problems)}; use a checkpoint with the public "
            "model's state-dict names"
        )
