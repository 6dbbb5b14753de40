import numpy as np
import pandas as pd
import pytest
import torch

from emokit.data import crop_face, load_image, sample_faces, write_table
from emokit.evaluation import by_group, cleaned, report
from emokit.inference import predict
from emokit.models.emofan import AffectOutput

SAMPLES = sample_faces()
RNG = np.random.default_rng(0)
SAID = SAMPLES[["id", "expression"]].assign(
    **{name: np.clip(0.8 * SAMPLES[name] + RNG.normal(0, 0.2, 128), -1, 1) for name in ("valence", "arousal")}
)
few = {"n_resamples": 20}


def test_a_cleaning_list_keeps_the_samples_it_names(tmp_path):
    kept = SAMPLES[["id"]].sample(100, random_state=0)
    clean = cleaned(SAMPLES, kept)
    assert clean["id"].tolist() == [name for name in SAMPLES["id"] if name in set(kept["id"])]
    write_table(kept, tmp_path / "kept.csv")
    pd.testing.assert_frame_equal(cleaned(SAMPLES, tmp_path / "kept.csv"), clean)
    verdicts = SAMPLES[["id"]].assign(verdict=np.where(SAMPLES["id"].isin(kept["id"]), "keep", "wrong expression"))
    pd.testing.assert_frame_equal(cleaned(SAMPLES, verdicts), clean)


def test_original_and_cleaned_sets_are_reported_side_by_side():
    wrong = SAMPLES.assign(valence=SAMPLES["valence"].where(SAMPLES.index % 4 > 0, -SAMPLES["valence"]))
    clean = cleaned(wrong, wrong.loc[wrong.index % 4 > 0, ["id"]])
    both = pd.concat([report(SAID, wrong, data="original", **few), report(SAID, clean, data="cleaned", **few)])
    assert both.groupby("data")["n"].first().to_dict() == {"original": 128, "cleaned": 96}
    of_valence = both[(both["target"] == "valence") & (both["metric"] == "CCC")].set_index("data")["value"]
    assert of_valence["cleaned"] > of_valence["original"] + 0.2


def test_cleaning_lists_that_do_not_fit_are_named():
    kept = SAMPLES[["id"]]
    with pytest.raises(ValueError, match="1 of 129 ids in the cleaning list are not among the samples, such as 'x'"):
        cleaned(SAMPLES, pd.concat([kept, pd.DataFrame({"id": ["x"]})]))
    with pytest.raises(ValueError, match="1 samples have no verdict, such as"):
        cleaned(SAMPLES, kept.tail(127).assign(verdict="keep"))
    with pytest.raises(ValueError, match="2 samples have no verdict, such as"):
        cleaned(SAMPLES, kept.assign(verdict=[None] * 2 + ["keep"] * 126))
    for nothing in (kept.head(0), kept.assign(verdict="drop")):
        with pytest.raises(ValueError, match="keeps no sample"):
            cleaned(SAMPLES, nothing)


def test_every_group_has_its_own_report():
    table = by_group(SAID, SAMPLES, "culture", data="SEWA", **few)
    names = sorted(SAMPLES["culture"].unique())
    assert len(names) > 1 and table["culture"].unique().tolist() == [*names, "pooled"]
    for name, part in table.groupby("culture"):
        faces = SAMPLES if name == "pooled" else SAMPLES[SAMPLES["culture"] == name]
        expected = report(SAID, faces, data="SEWA", **few)
        pd.testing.assert_frame_equal(part.drop(columns="culture").reset_index(drop=True), expected)


@pytest.mark.parametrize("where", ["samples", "predictions"])
def test_folds_are_reported_each_and_pooled(where):
    folds = pd.factorize(SAMPLES["subject"])[0] % 5
    tables = {"samples": SAMPLES, "predictions": SAID}
    tables[where] = tables[where].assign(fold=folds).sample(frac=1, random_state=0)
    table = by_group(**tables, column="fold", **few)
    assert table["fold"].unique().tolist() == [0, 1, 2, 3, 4, "pooled"]
    sizes = table.groupby("fold", sort=False)[["n", "clusters"]].first()
    assert sizes.loc["pooled"].tolist() == [128, 16] == sizes.drop("pooled").sum().tolist()
    assert sizes.loc[3].tolist() == [(folds == 3).sum(), 3]


def test_groups_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="neither samples nor predictions have a column 'fold'"):
        by_group(SAID, SAMPLES, "fold")
    holed = SAMPLES.assign(culture=SAMPLES["culture"].where(SAMPLES.index != 3))
    with pytest.raises(ValueError, match=f"sample '{SAMPLES['id'][3]}' has no culture"):
        by_group(SAID, holed, "culture")


def test_flip_averages_a_face_and_its_mirror_image(demo):
    faces = SAMPLES.iloc[[0, 9, 18, 27, 36]]
    plain, flipped = (predict(faces, demo, flip=flip, batch_size=2, progress=False) for flip in (False, True))
    by_hand = []
    for image, box in zip(faces["image"], plain[["x0", "y0", "x1", "y1"]].to_numpy(), strict=True):
        crop = crop_face(load_image(image), box, demo.input_size)
        pair = torch.from_numpy(np.stack((crop, crop[:, ::-1]))).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            out = demo(pair)
        by_hand.append([out.valence.mean().item(), out.arousal.mean().item()])
    np.testing.assert_allclose(flipped[["valence", "arousal"]], np.clip(by_hand, -1, 1), atol=1e-5)
    assert np.abs(flipped["valence"] - plain["valence"]).max() > 1e-3
    pd.testing.assert_frame_equal(
        flipped.drop(columns=["valence", "arousal"]), plain.drop(columns=["valence", "arousal"])
    )


def test_flip_clips_the_average_not_what_is_averaged():
    class Loud(torch.nn.Module):
        """Valence 3 where the left half is bright, else -2."""

        expressions, input_size = ("neutral", "happy"), 64

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            left, right = images.chunk(2, dim=3)
            bright = left.mean(dim=(1, 2, 3)) > right.mean(dim=(1, 2, 3))
            valence = torch.where(bright, 3.0, -2.0)
            return AffectOutput(None, torch.zeros(len(images), 2), valence, -valence)

    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32] = 255
    faces = pd.DataFrame({"id": ["a"], "image": [picture], "x0": 10, "y0": 10, "x1": 54, "y1": 54})
    found = predict(faces, Loud(), flip=True)
    assert found["valence"][0] == 0.5 and found["arousal"][0] == -0.5
    assert predict(faces, Loud())["valence"][0] == 1
