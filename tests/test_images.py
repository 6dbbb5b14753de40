import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from emokit.data.images import ImageError, load_image

RAMP = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30) % 200
COLOUR = np.stack((RAMP, RAMP[::-1], 255 - RAMP), axis=2)


def save(tmp_path: Path, image: Image.Image, name: str, **options) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_paths_files_and_pil_images_are_the_same_picture(tmp_path):
    path = save(tmp_path, Image.fromarray(COLOUR), "a.png")
    for picture in (path, str(path), Image.open(path), io.BytesIO(path.read_bytes()), COLOUR):
        np.testing.assert_array_equal(load_image(picture), COLOUR)


def test_grey_pictures_get_three_channels(tmp_path):
    grey = np.repeat(RAMP[:, :, None], 3, axis=2)
    for picture in (RAMP, RAMP[:, :, None], save(tmp_path, Image.fromarray(RAMP), "grey.png")):
        np.testing.assert_array_equal(load_image(picture), grey)


def test_sixteen_bits_become_eight(tmp_path):
    wide = RAMP.astype(np.uint16) * 257
    path = save(tmp_path, Image.fromarray(wide), "wide.png")
    for picture in (wide, path):
        np.testing.assert_array_equal(load_image(picture)[..., 0], RAMP)


@given(hnp.arrays(np.uint8, (4, 5, 3)), st.sampled_from(["float", "uint16"]))
def test_other_number_types_keep_every_level(pixels, kind):
    same = pixels / 255 if kind == "float" else pixels.astype(np.uint16) * 257
    np.testing.assert_array_equal(load_image(same), pixels)


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.zeros((20, 30, 1), np.uint8)
    alpha[:10] = 255
    picture = np.concatenate((COLOUR, alpha), axis=2)
    for given_as in (picture, save(tmp_path, Image.fromarray(picture), "rgba.png")):
        found = load_image(given_as)
        np.testing.assert_array_equal(found[:10], COLOUR[:10])
        assert (found[10:] == 255).all()


@pytest.mark.parametrize(("orientation", "turned"), [(3, np.rot90(COLOUR, 2)), (6, np.rot90(COLOUR, -1))])
def test_exif_orientation_is_applied(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, Image.fromarray(COLOUR), "turned.png", exif=exif)
    np.testing.assert_array_equal(load_image(path), turned)


def test_broken_files_are_named(tmp_path):
    path = save(tmp_path, Image.fromarray(np.tile(COLOUR, (10, 10, 1))), "cut.jpg")
    path.write_bytes(path.read_bytes()[:900])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, message in {
        "cut.jpg": "damaged",
        "empty.png": "not a picture",
        "text.jpg": "not a picture",
        "absent.jpg": "does not exist",
        ".": "list of paths",
    }.items():
        with pytest.raises(ImageError, match=message) as error:
            load_image(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(ImageError, match="the PIL image is damaged"):
        load_image(Image.open(path))


def test_an_enormous_picture_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path, Image.fromarray(COLOUR), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 250)
    with pytest.raises(ImageError, match="large.png is too large"):
        load_image(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), "got"),
        (np.zeros((5, 5, 2), np.uint8), r"\(5, 5, 2\)"),
        (np.zeros((5, 5, 3), np.int64), "int64"),
        (np.full((5, 5, 3), 128.0), r"\[0, 1\]"),
        (np.full((5, 5, 3), np.nan), r"\[0, 1\]"),
    ],
)
def test_wrong_arrays_are_named(array, message):
    with pytest.raises(ImageError, match=message):
        load_image(array)
