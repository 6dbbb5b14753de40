"""Pictures in, predictions table out (paper, Fig. 2)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from emokit.data.crops import crop_face, tight_box, to_photograph
from emokit.data.images import ImageError, Picture, load_image
from emokit.data.tables import BOX, landmarks_column, landmarks_of, read_table
from emokit.inference.faces import CascadeDetector, Detector, Faces
from emokit.models.fan import landmarks_from_heatmaps

# Faces wait for a full batch with the part of their photograph around them; a batch of
# enormous faces goes early.
_MAX_WAITING_BYTES = 256 * 2**20


class _Source(NamedTuple):
    """A picture to open; ``id`` and ``box`` where a samples table gives them."""

    name: str
    picture: Picture
    id: str | None = None
    box: NDArray[np.float64] | None = None


class _Face(NamedTuple):
    """A face on its way to the network; ``pixels`` is the part of the photograph around it."""

    id: str
    image: str
    number: int
    box: NDArray[np.float64]
    score: float
    tight: bool  # the box comes from known landmarks: no first pass is needed
    pixels: NDArray[np.uint8]
    corner: NDArray[np.float64]  # of ``pixels`` in the photograph

    def crop(self, box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
        return crop_face(self.pixels, box - np.tile(self.corner, 2), size)


def predict(
    images: Picture | Iterable[Picture] | pd.DataFrame,
    model: nn.Module,
    detector: Detector | None = None,
    *,
    batch_size: int = 32,
    flip: bool = False,
    on_error: str = "raise",
    progress: bool = True,
) -> pd.DataFrame:
    """Landmarks, expression, valence and arousal of every face in ``images``.

    A detector's box is only a start: the network finds the landmarks in its crop, and reads
    the face again from the tight crop around them, as in the paper's pipeline. Faces whose
    box or landmarks a samples table knows are read once.

    Parameters
    ----------
    images : path, array, PIL image, an iterable of them, or a samples table
        A table is a DataFrame or the path of a ``.csv`` or ``.parquet`` file with columns
        ``id`` and ``image``; each row is one face: the one at its box or landmarks where it
        has them, otherwise the largest that the detector finds.
    model : EmoFAN or ResNet18
        Or any module with ``expressions`` that returns an `AffectOutput`. It runs on the
        device it is on.
    detector : Detector, optional
        `CascadeDetector` by default.
    batch_size : int
        Faces that go through the network together.
    flip : bool
        Average valence and arousal over the face and its mirror image, as the paper's test
        script does; expression and landmarks stay those of the face. Takes twice the time.
    on_error : {"raise", "skip"}
        With "skip", pictures that cannot be read or rows whose box is no box are left out
        with a warning; ``attrs["skipped"]`` of the result lists them.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per face: ``id``; ``image`` (its path, or "image 0" for pictures in memory);
        ``face`` (number within the picture); ``x0 y0 x1 y1`` (the box read, pixels);
        ``score`` (the detector's; NaN without one); ``expression`` and ``p_<class>``
        (probabilities); ``valence`` and ``arousal`` clipped to [-1, 1]; ``landmarks`` (136
        numbers x, y, … in pixels of the upright picture, or None; `landmarks_of` makes an
        array of them) and ``confidence`` (mean height of the 68 peaks, in [0, 1]). Pictures
        without a face have no row; a warning names them.

    Raises
    ------
    ImageError
        A picture cannot be read; the message names it.
    ValueError
        ``images`` is no picture, list or table, or a table's row has no usable box.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error is 'raise' or 'skip', got {on_error!r}")
    if not hasattr(model, "expressions"):
        raise ValueError(f"{type(model).__name__} has no expressions; predict takes EmoFAN, ResNet18 or the like")
    detector = detector or CascadeDetector()
    sources, total = _sources(images)
    skipped: dict[str, str] = {}
    empty: list[str] = []
    tables: list[pd.DataFrame] = []
    training = model.training
    model.eval()
    try:
        bar = tqdm(sources, "faces", total, disable=not progress or total == 1, leave=False)
        for faces in _batches(_faces(bar, detector, on_error, skipped, empty), batch_size):
            tables.append(_read_faces(faces, model, flip))
    finally:
        model.train(training)
    if empty:
        warnings.warn(f"no face found in {_some(empty)}; pass a box, or another detector", stacklevel=2)
    if skipped:
        warnings.warn(f"skipped {_some([f'{k}: {v}' for k, v in skipped.items()])}", stacklevel=2)
    if not tables:
        tables = [_table([], model.expressions, np.empty((0, 4)), *np.empty((4, 0)), None)]
    table = pd.concat(tables, ignore_index=True)
    table.attrs["skipped"] = skipped
    return table


def _sources(images: object) -> tuple[Iterator[_Source], int | None]:
    """Pictures to open one at a time, and how many where that is known."""
    if isinstance(images, str | os.PathLike) and Path(images).suffix in (".csv", ".parquet"):
        images = read_table(images)
    if isinstance(images, pd.DataFrame):
        return _table_sources(read_table(images)), len(images)
    # PIL images and open files are single pictures, whatever iterating over them gives.
    single = any(hasattr(images, name) for name in ("convert", "read", "__fspath__")) or isinstance(images, str)
    if single or not isinstance(images, Iterable) or (isinstance(images, np.ndarray) and images.ndim < 4):
        images = [images]
    total = len(images) if hasattr(images, "__len__") else None
    return (_Source(_name(picture, i), picture) for i, picture in enumerate(images)), total


def _name(picture: Picture, index: int) -> str:
    return str(picture) if isinstance(picture, str | os.PathLike) else f"image {index}"


def _table_sources(samples: pd.DataFrame) -> Iterator[_Source]:
    if "image" not in samples:
        raise ValueError(f"the samples table has no column 'image'; it has {', '.join(map(str, samples.columns))}")
    boxes = np.full((len(samples), 4), np.nan)
    if set(BOX) <= set(samples):
        boxes = samples[BOX].to_numpy(np.float64)
    if "landmarks" in samples:
        tight = tight_box(landmarks_of(samples))
        boxes = np.where(np.isnan(tight), boxes, tight)
    for row, (face_id, image, box) in enumerate(zip(samples["id"], samples["image"], boxes, strict=True)):
        yield _Source(_name(image, row), image, face_id, None if np.isnan(box).all() else box)


def _faces(
    sources: Iterable[_Source], detector: Detector, on_error: str, skipped: dict[str, str], empty: list[str]
) -> Iterator[_Face]:
    for index, source in enumerate(sources):
        try:
            photo = load_image(source.picture)
            if source.box is not None:
                yield _face(source.id, source.name, 0, source.box, np.nan, True, photo)
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
            yield _face(face_id, source.name, number, boxes[k], scores[k], False, photo)


def _face(
    face_id: str, image: str, number: int, box: NDArray, score: float, tight: bool, photo: NDArray[np.uint8]
) -> _Face:
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
    return _Face(face_id, image, number, np.asarray(box, np.float64), score, tight, pixels, first.astype(np.float64))


def _batches(faces: Iterable[_Face], batch_size: int) -> Iterator[list[_Face]]:
    waiting: list[_Face] = []
    for face in faces:
        waiting.append(face)
        if len(waiting) == batch_size or sum(f.pixels.nbytes for f in waiting) > _MAX_WAITING_BYTES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


@torch.inference_mode()
def _read_faces(faces: list[_Face], model: nn.Module, flip: bool) -> pd.DataFrame:
    """One batch through the network: a first pass where boxes are a detector's, then the real one."""
    size = getattr(model, "input_size", 256)
    device = next(model.parameters()).device
    boxes = np.stack([face.box for face in faces])
    loose = [i for i, face in enumerate(faces) if not face.tight]
    if loose and hasattr(model, "features"):
        crops = [faces[i].crop(boxes[i], size) for i in loose]
        landmarks, _ = landmarks_from_heatmaps(model.features(_to_tensor(crops, device)).heatmaps[-1])
        for i, points in zip(loose, landmarks.cpu().numpy(), strict=True):
            boxes[i] = _second_box(boxes[i], tight_box(to_photograph(points, boxes[i], size)))
    crops = _to_tensor([face.crop(box, size) for face, box in zip(faces, boxes, strict=True)], device)
    out = model(crops)
    points, confidence = None, np.full(len(faces), np.nan)
    if out.heatmaps is not None:
        found, peaks = landmarks_from_heatmaps(out.heatmaps)
        points = np.stack([to_photograph(p, b, size) for p, b in zip(found.cpu().numpy(), boxes, strict=True)])
        confidence = peaks.mean(dim=1).cpu().numpy()
    affect = out.valence, out.arousal
    if flip:
        mirrored = model(crops.flip(3))
        affect = (out.valence + mirrored.valence) / 2, (out.arousal + mirrored.arousal) / 2
    valence, arousal = (v.clamp(-1, 1).cpu().numpy() for v in affect)
    probabilities = out.expression.softmax(dim=1).cpu().numpy()
    return _table(faces, model.expressions, boxes, probabilities, valence, arousal, confidence, points)


def _second_box(detected: NDArray, tight: NDArray) -> NDArray:
    """The box around the first pass's landmarks, or the detector's where they make no face."""
    ratio = (tight[2:] - tight[:2]) / (detected[2:] - detected[:2])
    return tight if (ratio > 1 / 3).all() and (ratio < 3).all() else detected


def _to_tensor(crops: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float() / 255


def _table(
    faces: list[_Face],
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


def _some(names: list[str]) -> str:
    """Up to five names, and how many more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
