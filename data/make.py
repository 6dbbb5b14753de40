"""Make what lies in this folder: ``python data/make.py``."""

import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
from skimage.data import astronaut

from emokit.data.afew_va import write_afew_va
from emokit.data.affectnet import write_affectnet
from emokit.data.rendered import SAMPLE, rendered_faces
from emokit.data.rendered_clips import rendered_clip, simulated_traces
from emokit.data.sewa import write_sewa
from emokit.data.tables import BOX, write_table
from emokit.inference import predict
from emokit.models import EXPRESSIONS, load_emofan
from emokit.plots import answer, face_grid

HERE = Path(__file__).parent
SEED = SAMPLE["seed"]


def sheet(samples: pd.DataFrame) -> None:
    order = samples["expression"].map(EXPRESSIONS[8].index)
    first = samples["subject"].unique()[:8]
    shown = samples.assign(order=order)[samples["subject"].isin(first)].sort_values(["subject", "order"])
    face_grid(shown["image"].tolist(), EXPRESSIONS[8]).savefig(HERE / "rendered_sheet.jpg", dpi=80)


def affectnet(samples: pd.DataFrame) -> None:
    for layout in ("csv", "npy", "pickle"):
        for subset, faces in (("train", samples[:16]), ("validation", samples[16:24])):
            write_affectnet(faces.reset_index(drop=True), HERE / "affectnet" / layout, subset, layout=layout)


def afew_va() -> None:
    """Six clips of five persons, ten frames each."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for clip in range(6):
            for image, row in rendered_clip(SEED + 1, clip % 5, clip, 10, size=96, hold=6):
                row |= {"image": f"{folder}/{clip}_{row['frame']}.png", "clip": f"{clip + 1:03d}"}
                cv2.imwrite(row["image"], image[:, :, ::-1])
                rows.append(row)
        write_afew_va(pd.DataFrame(rows), HERE / "afew_va")


def sewa() -> None:
    """Twelve recordings of one and a half seconds: three pairs in each of two cultures, four annotators."""
    for k in range(12):
        name = f"C{k // 6 + 1}_S{k // 2 + 1:03d}_P{k + 1:03d}_VC1_{k + 1:06d}"
        images, rows = zip(*rendered_clip(SEED + 2, k, 0, 30, size=112, hold=15), strict=True)
        ratings = {
            dimension: simulated_traces(np.array([row[dimension.lower()] for row in rows]), 4, 20, seed=10 * k + shift)
            for shift, dimension in enumerate(("Valence", "Arousal"))
        }
        write_sewa(name, images, ratings, HERE / "sewa")


def clip() -> None:
    """Eight seconds of a video call: the left person is there throughout, the right one comes and goes."""
    rate, size, there = 20, 160, {0: range(160), 1: range(40, 130)}
    people = [dict(enumerate(rendered_clip(SEED + 3, subject, 0, 160, size, hold=20))) for subject in (0, 4)]
    rows = []
    with av.open(str(HERE / "clip" / "call.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 2 * size, size, "yuv420p"
        for frame in range(160):
            picture = np.full((size, 2 * size, 3), 40, dtype=np.uint8)
            for person, frames in there.items():
                if frame in frames:
                    picture[:, person * size : (person + 1) * size], row = people[person][frame]
                    about = {"id": f"call/{frame:06}_{person}", "frame": frame, "time": frame / rate, "person": person}
                    box = np.array([row[side] for side in BOX]) + np.array([1, 0, 1, 0]) * person * size
                    rows.append(about | dict(zip(BOX, box, strict=True)) | {k: row[k] for k in ("valence", "arousal")})
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    write_table(pd.DataFrame(rows).round(4), HERE / "clip" / "truth.csv")


def main() -> None:
    samples = rendered_faces(**SAMPLE, folder=HERE / "rendered")
    sheet(samples)
    affectnet(samples)
    afew_va()
    sewa()
    clip()
    model = load_emofan("demo")
    answer(astronaut(), predict(astronaut(), model), model).savefig(HERE / "answer.jpg", dpi=80)


if __name__ == "__main__":
    main()
