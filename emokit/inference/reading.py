"""How faces are read: pictures to faces, faces to rows of the predictions table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from emokit.data.crops import crop_face, tight_box, to_photograph
from emokit.data.images import ImageError, Picture, is_path, load_image
from emokit.data.tables import BOX, landmarks_column, landmarks_of
from emokit.inference.faces import Detector, Faces
from emokit.models.emofan import AffectOutput
from emokit.models.fan import landmarks_from_heatmaps


class Source(NamedTuple):
    """A picture to open; ``id`` and ``box`` where a samples table gives them."""

    name: str
    picture: Picture
    id: str | None = None
    box: NDArray[np.float64] | None = None


class Face(NamedTuple):
    """A face on its way to the network; ``pixels`` is its crop where the box is tight, otherwise
    the part of the photograph around it."""

    id: str
    image: str
    number: int
    box: NDArray[np.float64]
    score: float
    tight: bool  # the box comes from known landmarks: no first pass is needed
    pixels: NDArray[np.uint8]
    corner: NDArray[np.float64]  # of ``pixels`` in the photograph

    def crop(self, box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
        return self.pixels if self.tight else crop_face(self.pixels, box - np.tile(self.corner, 2), size)


def check(model: nn.Module, on_error: str) -> None:
    """Refuse what no face can be read with, before the first picture is opened."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error is 'raise' or 'skip', got {on_error!r}")
    if not hasattr(model, "expressions"):
        raise ValueError(f"{type(model).__name__} has no expressions; predict takes EmoFAN, ResNet18 or the like")


def check_count(name: str, number: int) -> None:
    """Refuse what is no whole number of at least 1."""
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise ValueError(f"{name} is at least 1, and whole; got {number!r}")


def input_size(model: nn.Module) -> int:
    """Side of the crops that ``model`` takes, in pixels."""
    return getattr(model, "input_size", 256)


def picture_name(picture: Picture, index: int) -> str:
    return str(picture) if is_path(picture) else f"image {index}"


def table_sources(samples: pd.DataFrame, first: int = 0) -> Iterator[Source]:
    """Rows of a table as `read_table` gives it, the whole or a part that begins at row ``first``."""
    if "image" not in samples:
        raise ValueError(f"the samples table has no column 'image'; it has {', '.join(map(str, samples.columns))}")
    boxes = np.full((len(samples), 4), np.nan)
    if set(BOX) <= set(samples):
        numbers = samples[BOX].apply(pd.to_numeric, errors="coerce")
        wrong = np.argwhere(numbers.isna() & samples[BOX].notna())
        if len(wrong):
            row, name = first + wrong[0, 0], BOX[wrong[0, 1]]
            raise ValueError(f"row {row}: {name} is {samples[name].iloc[wrong[0, 0]]!r}, no number of pixels")
        boxes = numbers.to_numpy(np.float64)
    if "landmarks" in samples:
        tight = tight_box(landmarks_of(samples))
        boxes = np.where(np.isnan(tight), boxes, tight)
    for row, (face_id, image, box) in enumerate(zip(samples["id"], samples["image"], boxes, strict=True), first):
        yield Source(picture_name(image, row), image, face_id, None if np.isnan(box).all() else box)


def open_faces(
    sources: Iterable[Source],
    detector: Detector,
    size: int,
    on_error: str,
    skipped: dict[str, str],
    empty: list[str],
) -> Iterator[Face]:
    """Faces of ``sources``, for a network that takes crops of ``size`` pixels.

    What cannot be read raises, or goes to ``skipped``: its id, or its name where it has none,
    and why. Names of pictures without a face go to ``empty``.
    """
    for index, source in enumerate(sources):
        try:
            if pd.api.types.is_scalar(source.picture) and pd.isna(source.picture):
                raise ImageError("the cell of its image is empty")
            photo = load_image(source.picture)
            if source.box is not None:
                crop = crop_face(photo, source.box, size)
                yield Face(source.id, source.name, 0, source.box, np.nan, True, crop, np.zeros(2))
                continue
        except ValueError as error:  # ImageError among them
            if on_error == "raise":
                kind = ImageError if isinstance(error, ImageError) else ValueError
                row = "" if source.id is None else f"sample {source.id!r}: "
                raise kind(f"{row}{error}") from error
            skipped[source.name if source.id is None else str(source.id)] = str(error)
            continue
        found = Faces(*detector(photo))
        boxes, scores = found
        if not len(boxes):
            empty.append(source.name)
            continue
        order = found.largest_first()[: 1 if source.id is not None else None]
        for number, k in enumerate(order):
            face_id = f"{index}_{number}" if source.id is None else source.id
            pixels, corner = _around(boxes[k], photo)
            yield Face(face_id, source.name, number, np.asarray(boxes[k], np.float64), scores[k], False, pixels, corner)


def _around(box: NDArray, photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of ``photo`` that crops of a detected face may need, and its top left corner."""
    x0, y0, x1, y1 = box
    if not np.isfinite(box).all() or x1 <= x0 or y1 <= y0:
        raise ValueError(f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {box.tolist()}")
    # The second crop lies within twice the first one's side.
    reach = 2 * (x1 - x0 + y1 - y0)
    centre = np.array([x0 + x1, y0 + y1]) / 2
    limit = np.array(photo.shape[1::-1])
    first = np.clip(np.floor(centre - reach), 0, limit - 1).astype(int)
    last = np.clip(np.ceil(centre + reach), first + 1, limit).astype(int)
    pixels = photo[first[1] : last[1], first[0] : last[0]]
    if pixels.size < photo.size // 2:
        pixels = pixels.copy()  # lets go of the photograph
    return pixels, first.astype(np.float64)


@torch.inference_mode()
def read_faces(faces: list[Face], model: nn.Module, flip: bool) -> pd.DataFrame:
    """One batch through the network: a first pass where boxes are a detector's, then the real one."""
    if not faces:
        return _table([], model.expressions, np.empty((0, 4)), *np.empty((4, 0)), None)
    size = input_size(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    boxes = np.stack([face.box for face in faces])
    loose = [i for i, face in enumerate(faces) if not face.tight]
    if loose and hasattr(model, "features"):
        crops = [faces[i].crop(boxes[i], size) for i in loose]
        landmarks, _ = landmarks_from_heatmaps(model.features(_to_tensor(crops, device)).heatmaps[-1].float())
        for i, points in zip(loose, landmarks.cpu().numpy(), strict=True):
            boxes[i] = _second_box(boxes[i], tight_box(to_photograph(points, boxes[i], size)))
    crops = _to_tensor([face.crop(box, size) for face, box in zip(faces, boxes, strict=True)], device)
    out = _in_full(model(crops))
    points, confidence = None, np.full(len(faces), np.nan)
    if out.heatmaps is not None:
        found, peaks = landmarks_from_heatmaps(out.heatmaps)
        points = np.stack([to_photograph(p, b, size) for p, b in zip(found.cpu().numpy(), boxes, strict=True)])
        confidence = peaks.mean(dim=1).cpu().numpy()
    affect = out.valence, out.arousal
    if flip:
        mirrored = _in_full(model(crops.flip(3)))
        affect = (out.valence + mirrored.valence) / 2, (out.arousal + mirrored.arousal) / 2
    valence, arousal = (v.clamp(-1, 1).cpu().numpy() for v in affect)
    probabilities = out.expression.softmax(dim=1).cpu().numpy()
    return _table(faces, model.expressions, boxes, probabilities, valence, arousal, confidence, points)


def _in_full(out: AffectOutput) -> AffectOutput:
    """In single precision, which NumPy knows, whatever the network computed in."""
    return AffectOutput(*(None if tensor is None else tensor.float() for tensor in out))


def _second_box(detected: NDArray, tight: NDArray) -> NDArray:
    """The box around the first pass's landmarks, or the detector's where they make no face."""
    ratio = (tight[2:] - tight[:2]) / (detected[2:] - detected[:2])
    return tight if (ratio > 1 / 3).all() and (ratio < 3).all() else detected


def _to_tensor(crops: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float() / 255


def _table(
    faces: list[Face],
    expressions: tuple[str, ...],
    boxes: NDArray,
    probabilities: NDArray,
    valence: NDArray,
    arousal: NDArray,
    confidence: NDArray,
    points: ArrayLike | None,
) -> pd.DataFrame:
    names = np.array(expressions, dtype=object)
    probabilities = probabilities.reshape(len(faces), len(names))
    return pd.DataFrame(
        {
            "id": pd.Series([face.id for face in faces], dtype=str),
            "image": pd.Series([face.image for face in faces], dtype=str),
            "face": np.array([face.number for face in faces], dtype=np.int64),
            **dict(zip(BOX, boxes.T, strict=True)),
            "score": np.array([face.score for face in faces], dtype=np.float64),
            "expression": names[probabilities.argmax(axis=1)],
            **{f"p_{name}": p for name, p in zip(expressions, probabilities.T, strict=True)},
            "valence": valence,
            "arousal": arousal,
            "landmarks": pd.Series(
                landmarks_column(points) if points is not None else [None] * len(faces), dtype=object
            ),
            "confidence": confidence,
        }
    )
