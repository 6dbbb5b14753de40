import io
from datetime import datetime

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut, coffee

from emokit.data import sample_faces
from emokit.evaluation import compare, published
from emokit.inference import predict
from emokit.inference.inside import face_maps
from emokit.plots import (
    COLOURS,
    Explorer,
    answer,
    circumplex,
    comparison,
    expression_bars,
    face_grid,
    label_distribution,
    photo,
    traces,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found(demo):
    return predict(astronaut(), demo)


def test_the_circumplex_holds_every_point():
    samples = sample_faces()
    ax = circumplex(samples["valence"], samples["arousal"], samples["expression"])
    drawn = np.vstack([group.get_offsets() for group in ax.collections])
    assert {tuple(p) for p in drawn} == set(zip(samples["valence"], samples["arousal"], strict=True))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(COLOURS)


def test_words_of_the_circumplex_do_not_overlap():
    ax = circumplex()
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_bars_show_the_probabilities(found):
    row = found.iloc[0]
    ax = expression_bars(row)
    widths = {label.get_text(): bar.get_width() for label, bar in zip(ax.get_yticklabels(), ax.patches, strict=True)}
    assert widths == {name: pytest.approx(row[f"p_{name}"]) for name in COLOURS}


def test_the_slide_has_all_five_parts(demo, found):
    figure = answer(astronaut(), found, demo)
    assert len(figure.axes) == 5
    figure.canvas.draw()
    titles = [ax._left_title.get_window_extent() for ax in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(titles) for b in titles[:i])


def test_zoom_shows_the_face_and_not_more(found):
    ax = photo(astronaut(), found, zoom=0.5)
    (x0, x1), (y1, y0) = ax.get_xlim(), ax.get_ylim()
    box = found.iloc[0]
    assert x0 < box["x0"] < box["x1"] < x1 < 511 and 0 < y0 < box["y0"] < box["y1"] < y1


def test_attention_is_the_sum_of_the_heatmaps(demo, found):
    maps = face_maps(astronaut(), found.iloc[0][["x0", "y0", "x1", "y1"]].to_numpy(float), demo)
    assert maps.crop.shape == (128, 128, 3) and maps.heatmaps.shape == (68, 32, 32)
    np.testing.assert_allclose(maps.attention, maps.heatmaps.sum(axis=0), atol=1e-4)


def test_a_grid_shows_every_face():
    samples = sample_faces().head(5)
    figure = face_grid(samples["image"], samples["expression"].tolist(), columns=3)
    assert sum(bool(ax.images) for ax in figure.axes) == 5


def upload(name: str, content: bytes) -> tuple:
    return (
        {
            "name": name,
            "type": "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.now(),
        },
    )


def test_the_explorer_follows_menu_and_upload(demo):
    explorer = Explorer(demo, {"astronaut": astronaut(), "coffee": coffee()})
    first = bytes(explorer.slide.value)
    assert first.startswith(b"\x89PNG") and explorer.message.value == "1 face"
    explorer.menu.value = "coffee"
    assert explorer.message.value == "no face found" and not explorer.slide.value
    file = io.BytesIO()
    Image.fromarray(astronaut()).save(file, "png")
    explorer.upload.value = upload("mine.png", file.getvalue())
    assert explorer.menu.value == "mine.png" and bytes(explorer.slide.value) == first
    explorer.upload.value = upload("notes.txt", b"not a picture")
    assert "notes.txt" in explorer.message.value and "not a picture" in explorer.message.value
    assert explorer.menu.value == "mine.png"


def test_the_explorer_shows_each_of_several_faces(demo):
    two = np.hstack((astronaut()[:400, 60:360], astronaut()[:400, 60:360]))
    explorer = Explorer(demo, {"two": two})
    assert explorer.message.value == "2 faces" and not explorer.face.disabled
    first = bytes(explorer.slide.value)
    explorer.face.value = 1
    assert bytes(explorer.slide.value) != first


def test_labels_are_drawn_as_points_or_as_a_density():
    samples = sample_faces()
    bars, circle = label_distribution(samples, "Rendered").axes
    assert [bar.get_width() for bar in bars.patches] == [16] * 8
    assert sum(len(group.get_offsets()) for group in circle.collections) == len(samples)
    (alone,) = label_distribution(samples.drop(columns="expression")).axes
    assert "128 faces" in alone.get_title(loc="left")
    many = pd.concat([samples] * 20, ignore_index=True)
    density = label_distribution(many).axes[-1].collections[-1]
    assert density.get_array().sum() == pytest.approx(len(many))


def test_traces_show_every_annotator_and_the_mean():
    time = np.linspace(0, 2, 20)
    table = {"time": time, "valence": 0.1 * time, "valence_1": 0.2 * time, "valence_2": 0 * time, "arousal_1": time}
    ax = traces(pd.DataFrame(table))
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert {"annotator 1", "annotator 2", "mean"} <= set(lines) and len(ax.get_legend().get_texts()) == 3
    np.testing.assert_allclose(lines["mean"], 0.1 * time)


def test_a_comparison_shows_both_figures_of_every_row():
    results = pd.concat(
        [published("table6").assign(value=lambda t, k=k: t["value"] - 0.1 + 0.02 * k) for k in range(3)]
    )
    both = compare(results, "table6")
    figure = comparison(both, "CCC")
    figure.canvas.draw()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["CCC of valence", "CCC of arousal"]
    for ax, target in zip(figure.axes, ("valence", "arousal"), strict=True):
        rows = both[(both["metric"] == "CCC") & (both["target"] == target)]
        drawn = {group.get_label(): group for group in ax.collections}
        for name in ("paper", "yours"):
            np.testing.assert_allclose(drawn[name].get_offsets()[:, 0], rows[name])
        spans = drawn["_bars"].get_segments()
        np.testing.assert_allclose([b[0] - a[0] for a, b in spans], 4 * rows["sd"])
        assert ax.get_xlabel() == "bars: two standard deviations over 3 seeds"
    names = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(names) for b in names[:i])
