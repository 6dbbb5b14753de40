"""Pick or upload a picture, and see the answer change."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import ipywidgets
import matplotlib.pyplot as plt

from emokit.data.images import ImageError, Picture, load_image
from emokit.inference.faces import Detector
from emokit.inference.predict import predict
from emokit.models.emofan import EmoFAN
from emokit.plots.faces import answer


class Explorer(ipywidgets.VBox):
    """A menu of pictures, an upload button and, below, the network's answer as a slide.

    Uploaded pictures stay in the notebook's own process.

    Parameters
    ----------
    model : EmoFAN
    pictures : mapping of str to path, array or PIL image
        What the menu offers; the first is shown at once.
    detector : Detector, optional
        Passed on to `predict`.
    """

    def __init__(self, model: EmoFAN, pictures: Mapping[str, Picture], detector: Detector | None = None) -> None:
        self.model, self.detector, self.pictures = model, detector, dict(pictures)
        self.menu = ipywidgets.Dropdown(options=list(self.pictures), description="Picture")
        self.upload = ipywidgets.FileUpload(accept="image/*", description="Upload")
        self.face = ipywidgets.BoundedIntText(0, 0, 0, description="Face", layout={"width": "140px"})
        self.message = ipywidgets.Label()
        self.slide = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        bar = ipywidgets.HBox([self.menu, self.upload, self.face, self.message], layout={"flex_flow": "row wrap"})
        super().__init__([bar, self.slide])
        self.menu.observe(self._read, "value")
        self.upload.observe(self._uploaded, "value")
        self.face.observe(self._show, "value")
        self._read()

    @contextmanager
    def _quiet(self, control: ipywidgets.Widget, handler: Callable) -> Iterator[None]:
        """Change ``control`` without ``handler`` hearing of it."""
        control.unobserve(handler, "value")
        try:
            yield
        finally:
            control.observe(handler, "value")

    def _uploaded(self, _change: object) -> None:
        if not self.upload.value:
            return
        file = self.upload.value[0]
        self.upload.value = ()  # the same file may be uploaded again
        try:
            picture = load_image(io.BytesIO(file["content"]))
        except ImageError as error:
            self.message.value = f"{file['name']}: {error}"
            return
        self.pictures[file["name"]] = picture
        with self._quiet(self.menu, self._read):
            self.menu.options = list(self.pictures)
            self.menu.value = file["name"]
        self._read()

    def _read(self, _change: object = None) -> None:
        self.message.value = "looking for faces …"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the message says it
            self.found = predict(self.pictures[self.menu.value], self.model, self.detector, progress=False)
        count = len(self.found)
        self.message.value = {0: "no face found", 1: "1 face"}.get(count, f"{count} faces")
        with self._quiet(self.face, self._show):
            self.face.value, self.face.max = 0, max(count - 1, 0)
        self.face.disabled = count < 2
        self._show()

    def _show(self, _change: object = None) -> None:
        if not len(self.found):
            self.slide.value = b""
            return
        figure = answer(self.pictures[self.menu.value], self.found, self.model, self.face.value)
        picture = io.BytesIO()
        figure.savefig(picture, dpi=80)
        plt.close(figure)
        self.slide.value = picture.getvalue()
