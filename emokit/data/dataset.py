"""A samples table as a torch ``Dataset`` of crops: the same for every data set."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emokit.data.crops import crop_matrix
from emokit.data.images import ImageError, load_image
from emokit.data.tables import BOX, landmarks_of, read_table
from emokit.models.emofan import EXPRESSIONS


class FaceDataset(Dataset):
    """Crops and labels of a samples table.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image`` and a box (``x0 y0 x1 y1`` or ``landmarks``) in every row.
    size : int
        Side of the crops in pixels: the network's input size.
    expressions : sequence of str
        Classes, in the order of the network's logits.
    context : float
        Side of the crop as a multiple of the paper's; more than 1 leaves room that
        augmentation turns and shifts in, and then cuts off.

    Raises
    ------
    ValueError
        A row has no box, or an expression that is none of ``expressions``.
    """

    def __init__(
        self,
        samples: pd.DataFrame,
        size: int = 256,
        expressions: Sequence[str] = EXPRESSIONS[8],
        context: float = 1.0,
    ) -> None:
        samples = read_table(samples)
        n = len(samples)
        self.ids = samples["id"].to_numpy()
        self.images = samples["image"].to_numpy()
        self.size, self.context = size, context
        self.landmarks = landmarks_of(samples).astype(np.float32) if "landmarks" in samples else None
        boxes = samples[BOX].to_numpy(np.float64) if set(BOX) <= set(samples) else np.full((n, 4), np.nan)
        if self.landmarks is not None:
            tight = np.concatenate((self.landmarks.min(axis=1), self.landmarks.max(axis=1)), axis=1)
            boxes = np.where(np.isnan(tight), boxes, tight)
        if np.isnan(boxes).any():
            row = int(np.isnan(boxes).any(axis=1).argmax())
            raise ValueError(
                f"sample {self.ids[row]!r} (row {row}) has neither landmarks nor a box; predict gives both"
            )
        self.boxes = boxes
        self.expression = self._classes(samples, expressions)
        self.valence, self.arousal = (
            samples[c].to_numpy(np.float32) if c in samples else np.full(n, np.nan, np.float32)
            for c in ("valence", "arousal")
        )

    @staticmethod
    def _classes(samples: pd.DataFrame, expressions: Sequence[str]) -> np.ndarray:
        """Class indices; -1 where there is no expression label."""
        if "expression" not in samples:
            return np.full(len(samples), -1)
        names = samples["expression"]
        unknown = ~(names.isin(expressions) | names.isna())
        if unknown.any():
            row = int(unknown.to_numpy().argmax())
            raise ValueError(
                f"sample {samples['id'].iloc[row]!r} (row {row}) shows {names.iloc[row]!r}, which is none of "
                f"{', '.join(expressions)}; leave it out, or read the data set with as many classes as the network"
            )
        return pd.Categorical(names, categories=list(expressions)).codes.astype(np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``image`` (3, S, S) uint8 RGB; ``landmarks`` (68, 2) in pixels of it, NaN if unknown;
        ``expression`` class or -1; ``valence`` and ``arousal``, NaN if unknown; ``index``."""
        side = round(self.size * self.context)
        # The paper's crop in the middle of a larger picture: same zoom, more around it.
        matrix = crop_matrix(self.boxes[index], self.size)
        matrix[:, 2] += (side - self.size) / 2
        try:
            photo = load_image(self.images[index])
        except ImageError as error:
            mend = "readers with check_images=True, on_error='skip' leave such pictures out"
            raise ImageError(f"sample {self.ids[index]!r}: {error}; {mend}") from error
        image = cv2.warpAffine(photo, matrix, (side, side), flags=cv2.INTER_LINEAR)
        points = np.full((68, 2), np.nan) if self.landmarks is None else self.landmarks[index]
        points = points @ matrix[:, :2].T + matrix[:, 2]
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),
            "landmarks": torch.from_numpy(points.astype(np.float32)),
            "expression": torch.tensor(self.expression[index]),
            "valence": torch.tensor(self.valence[index]),
            "arousal": torch.tensor(self.arousal[index]),
            "index": torch.tensor(index),
        }
