import multiprocessing
import os
import signal
from fractions import Fraction
from functools import partial

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from test_shipped_data import DATA

from emokit.data import landmarks_of, read_table
from emokit.evaluation import ccc
from emokit.inference import CascadeDetector, Faces, WholeImage, decoding, following, predict
from emokit.inference.decoding import VideoError, frame_count, read_frames
from emokit.inference.following import VideoReader
from emokit.inference.parts import Parts
from emokit.inference.tracking import overlap
from emokit.inference.video import predict_video
from emokit.models import EmoFAN, ResNet18, load_emofan

CALL, TRUTH = DATA / "clip" / "call.mp4", DATA / "clip" / "truth.csv"
FEW = {"limit": 40, "chunk": 16, "progress": False}


@pytest.fixture(scope="module")
def found(demo, tmp_path_factory):
    """What the demo network says of the whole call."""
    out = tmp_path_factory.mktemp("call") / "out.parquet"
    assert predict_video(CALL, demo, out, progress=False) == out
    assert out.is_file() and os.listdir(out.parent) == ["out.parquet"]
    return read_table(out)


class Watched(CascadeDetector):
    """Counts its looks, and does something at one of them."""

    def __init__(self, at=None, then=None):
        super().__init__()
        self._looks, self._at, self._then = 0, at, then

    def __call__(self, image):
        self._looks += 1
        if self._looks == self._at:
            self._then()
        return super().__call__(image)


def write_video(path, images, times=None, matrix=None, aspect=1, damaged=None, junk=None, group=12):
    """A frame every 50 ms, or at ``times`` (ms); a key frame in every ``group``; ``junk`` in place of frame ``damaged``."""
    tick = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"qp": "0", "g": str(group)})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.sample_aspect_ratio = "yuv444p", aspect
        stream.time_base = stream.codec_context.time_base = tick
        if matrix:
            stream.set_display_matrix(matrix)
        frames = [av.VideoFrame.from_ndarray(image, "rgb24") for image in images]
        for k, frame in enumerate(frames):
            frame.pts, frame.time_base = (50 * k if times is None else times[k]), tick
        for packet in [packet for frame in [*frames, None] for packet in stream.encode(frame)]:
            if damaged is not None and packet.pts * packet.time_base == frames[damaged].pts * tick:
                wrong = av.Packet(junk.ljust(packet.size, b"\xff"))
                wrong.pts, wrong.dts, wrong.time_base, wrong.stream = packet.pts, packet.dts, packet.time_base, stream
                packet = wrong
            container.mux(packet)
    return path


def pictures(n, height=48, width=64):
    """Smooth, because colours lose a little in a video, and each different."""
    rng = np.random.default_rng(n)
    small = rng.integers(0, 255, (n, 3, 4, 3), dtype=np.uint8)
    return [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in small]


def test_everyone_is_found_in_every_frame_at_their_time(found):
    truth = read_table(TRUTH)
    assert sorted(found["id"]) == sorted(truth["id"])
    both = truth.merge(found, on="id", suffixes=("_true", ""))
    np.testing.assert_allclose(both["time"], both["frame"] / 20, atol=1e-6)
    boxes = [both[[f"{side}{end}" for side in ("x0", "y0", "x1", "y1")]].to_numpy() for end in ("_true", "")]
    assert min(overlap(a, b)[0, 0] for a, b in zip(*boxes, strict=True)) > 0.7
    for _, rows in both.groupby("person"):
        assert ccc(rows["valence_true"], rows["valence"]) > 0.85
        assert ccc(rows["arousal_true"], rows["arousal"]) > 0.85


def test_the_columns_are_those_of_predict(found, demo):
    expected = predict(np.zeros((64, 64, 3), np.uint8), demo, WholeImage()).columns.drop(["image", "face"])
    assert found.columns.tolist() == ["id", "video", "frame", "time", "person", *expected[1:]]
    assert set(found["video"]) == {str(CALL)}
    assert found["frame"].is_monotonic_increasing


def test_read_twice_it_says_what_predict_says(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(following, "_STEADY", 1.01)
    out = predict_video(CALL, demo, tmp_path / "out.parquet", every=1, flip=True, limit=3, progress=False)
    images = [frame.image for frame, _ in zip(read_frames(CALL), range(3), strict=False)]
    boxes = read_table(out)
    # The tracker begins with the last frame's landmarks, predict with the detector's box.
    expected = predict(images, demo, flip=True).iloc[:1]
    assert boxes["expression"].iloc[0] == expected["expression"].iloc[0]
    np.testing.assert_allclose(boxes[["valence", "arousal"]].iloc[:1], expected[["valence", "arousal"]], atol=1e-4)
    np.testing.assert_allclose(landmarks_of(boxes)[:1], landmarks_of(expected), atol=0.05)


def test_the_network_follows_whom_the_detector_sees_once(demo, tmp_path):
    def once(image):
        looks.append(image)
        return CascadeDetector()(image) if len(looks) == 1 else Faces(np.empty((0, 4)), np.empty(0))

    looks = []
    table = read_table(predict_video(CALL, demo, tmp_path / "out.parquet", once, every=4, **FEW))
    assert len(looks) == 10 and len(table) == 40 and set(table["person"]) == {0}


def test_a_face_that_runs_is_followed(demo):
    """By a tenth of its width per frame: at the end of eight frames it overlaps little with where it was."""
    reader, truth = VideoReader(demo), read_table(TRUTH).query("person == 0")
    frames = []
    for frame in read_frames(CALL, stop=32):
        image = np.full((160, 480, 3), 90, np.uint8)
        image[:, 8 * frame.number :][:, :160] = frame.image[:, :160]
        frames.append(frame._replace(image=image))
    rows = pd.concat([reader(frames[k : k + 8]) for k in range(0, 32, 8)])
    assert rows["frame"].tolist() == list(range(32)) and set(rows["person"]) == {0}
    np.testing.assert_allclose(rows["x0"], truth["x0"][:32] + 8 * rows["frame"].to_numpy(), atol=10)


def killed(out):
    predict_video(CALL, load_emofan("demo"), out, Watched(4, lambda: os.kill(os.getpid(), signal.SIGKILL)), **FEW)


def test_a_killed_call_ends_with_the_same_table(found, demo, tmp_path):
    out = tmp_path / "out.parquet"
    process = multiprocessing.get_context("spawn").Process(target=killed, args=(out,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not out.exists()
    assert os.listdir(tmp_path) == ["out.parquet.unfinished"]
    detector = Watched()
    predict_video(CALL, demo, out, detector, **FEW)
    assert detector._looks == 3, "frames 0 to 15 are in a part already"
    pd.testing.assert_frame_equal(read_table(out), found[found["frame"] < 40], rtol=0, atol=0)
    predict_video(CALL, demo, out, detector, **FEW)
    assert detector._looks == 3, "a finished table is computed again"
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_an_interrupt_keeps_what_is_read(found, demo, tmp_path, capsys):
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        predict_video(CALL, demo.train(), out, Watched(4, lambda: signal.raise_signal(signal.SIGINT)), **FEW)
    assert demo.training
    assert pd.read_parquet(tmp_path / "out.parquet.unfinished")["frame"].max() == 23
    detector = Watched()
    predict_video(CALL, demo.eval(), out, detector, **FEW | {"progress": True})
    assert detector._looks == 2
    pd.testing.assert_frame_equal(read_table(out), found[found["frame"] < 40], rtol=0, atol=0)
    first, *_, last = [line for line in capsys.readouterr().err.split("\r") if "frames" in line]
    assert "24/40" in first and "40/40" in last and "frames/s" in last


def test_anothers_table_is_refused(demo, tmp_path):
    out = tmp_path / "out.parquet"
    predict_video(CALL, demo, out, limit=1, progress=False)
    other = write_video(tmp_path / "other.mp4", pictures(2))
    for message, video, network, options in (
        ("another video", other, demo, {}),
        ("another network", CALL, EmoFAN(width=16, input_size=64), {}),
        ("another limit \\(1, not 2\\)", CALL, demo, {"limit": 2}),
    ):
        with pytest.raises(ValueError, match=f"out.parquet holds predictions with {message}.*choose another out"):
            predict_video(video, network, out, **{"limit": 1, "progress": False} | options)
    (tmp_path / "mine.parquet").write_text("mine")
    for name, message in (("mine.parquet", "is there already"), ("out.csv", "does not end in .parquet")):
        with pytest.raises(ValueError, match=f"{name} {message}"):
            predict_video(CALL, demo, tmp_path / name)
    assert (tmp_path / "mine.parquet").read_text() == "mine"
    (tmp_path / "new.parquet.unfinished").mkdir()
    with pytest.raises(ValueError, match="new.parquet.unfinished is there already and is something else"):
        predict_video(CALL, demo, tmp_path / "new.parquet")


def test_a_video_without_a_face_gives_an_empty_table(demo, found, tmp_path):
    path = write_video(tmp_path / "empty.mp4", pictures(3))
    table = read_table(predict_video(path, demo, tmp_path / "out.parquet", progress=False))
    assert table.empty and table.columns.tolist() == found.columns.tolist()


def test_networks_without_landmarks_read_where_the_detector_looks(tmp_path):
    def first_only(image):
        looks.append(image)
        return WholeImage(0.2)(image) if len(looks) == 1 else Faces(np.empty((0, 4)), np.empty(0))

    looks, network = [], ResNet18(width=16)
    network.input_size = 64
    table = read_table(predict_video(CALL, network, tmp_path / "out.parquet", first_only, limit=12, progress=False))
    assert table["frame"].tolist() == list(range(8)) and table["landmarks"].isna().all()


def test_times_are_the_containers(tmp_path):
    times = [0, 40, 47, 300, 301, 1000]
    path = write_video(tmp_path / "variable.mp4", pictures(6), times=times)
    frames = list(read_frames(path))
    assert [frame.number for frame in frames] == list(range(6))
    np.testing.assert_allclose([frame.time for frame in frames], np.array(times) / 1000, atol=1e-3)
    assert [frame.number for frame in read_frames(path, 2, 5)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("even.mp4", {}),
        ("variable.mp4", {"times": [0, 40, 47, 300, *range(1000, 4_168, 33)]}),
        ("damaged.mkv", {"damaged": 4, "junk": b"\0\0\0\1\x65"}),
        ("unsought.avi", {}),
        ("one.mp4", {"group": 200}),
    ],
)
def test_a_late_start_gives_the_same_frames(tmp_path, name, options, monkeypatch):
    path, converted, upright = write_video(tmp_path / name, pictures(100), **options), [], decoding._upright
    monkeypatch.setattr(decoding, "_upright", lambda *given: converted.append(1) or upright(*given))
    whole = list(read_frames(path, on_error="skip"))
    for start in (0.01, whole[40].time, whole[70].time + 1e-3, 99):
        broken = []
        del converted[:]
        part = list(read_frames(path, start=start, on_error="skip", broken=broken))
        expected = [frame for frame in whole if frame.time >= start]
        assert [frame[:2] for frame in part] == [frame[:2] for frame in expected]
        assert all((a.image == b.image).all() for a, b in zip(part, expected, strict=True))
        assert len(converted) == len(expected)
        assert len(broken) == (name == "damaged.mkv" and start < 0.2)


def test_a_late_start_decodes_from_the_key_frame_before(tmp_path):
    path = write_video(tmp_path / "long.mp4", pictures(100))
    with decoding.opened(path) as (container, stream):
        number, time = decoding._key_frame_before(container, stream, 2.9)
        assert number > 40 and time == number / 20
        assert next(container.decode(stream)).time == time


@pytest.mark.parametrize(
    ("a", "b", "c", "d"), [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)]
)
def test_frames_are_upright(tmp_path, a, b, c, d):
    """As the display matrix says: right goes to (a, b), down to (c, d)."""
    image = pictures(1)[0]
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    shown = next(read_frames(write_video(tmp_path / "turned.mp4", [image] * 2, matrix=matrix))).image
    height, width = image.shape[:2]
    for x, y in ((5, 9), (width - 3, 4), (20, height - 6)):
        there = np.array([a * x + c * y, b * x + d * y])
        low = np.minimum(np.array([a * (width - 1) + 0, b * (width - 1)]), 0)
        low = low + np.minimum(np.array([c * (height - 1), d * (height - 1)]), 0)
        column, row = there - low
        assert np.abs(shown[row, column].astype(int) - image[y, x]).max() < 12


def test_pixels_are_square(tmp_path):
    path = write_video(tmp_path / "wide.mp4", pictures(2), aspect=Fraction(4, 3))
    assert next(read_frames(path)).image.shape == (48, 85, 3)


NAL = b"\0\0\0\1"  # begins a unit of H.264


@pytest.mark.parametrize(("number", "group"), [(1, 1), (4, 12)])
@pytest.mark.parametrize("junk", [NAL + b"\x65", NAL + b"\x01", NAL + b"\x0c"])  # two slices and a filler
def test_broken_frames_are_named_and_left_out(demo, tmp_path, number, group, junk):
    path = write_video(tmp_path / "damaged.mkv", pictures(6), damaged=number, group=group, junk=junk)
    broken = []
    frames = list(read_frames(path, on_error="skip", broken=broken))
    assert [frame.number for frame in frames] == [k for k in range(6) if k != number]
    assert [round(20 * frame.time) for frame in frames] == [frame.number for frame in frames]
    assert [(b["frame"], round(20 * b["time"])) for b in broken] == [(number, number)]
    out = tmp_path / "out.parquet"
    message = rf"damaged.mkv, frame {number} \({number / 20:.2f} s\): cannot be decoded.*on_error='skip'"
    with pytest.raises(VideoError, match=message):
        predict_video(path, demo, out, on_error="raise", progress=False)
    with pytest.warns(UserWarning, match="left out 1 broken frame of .*damaged.mkv; .*out_broken.csv lists them"):
        predict_video(path, demo, out, progress=False)
    report = pd.read_csv(tmp_path / "out_broken.csv")
    assert report["frame"].tolist() == [number] and report["problem"].str.contains("cannot be decoded").all()


def test_a_file_that_ends_too_soon_is_reported(tmp_path):
    path = write_video(tmp_path / "cut.mkv", pictures(100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    broken = []
    frames = list(read_frames(path, on_error="skip", broken=broken))
    assert 0 < len(frames) < 60 and frame_count(path) == 100
    assert broken[-1]["frame"] == len(frames) and "before the file does" in broken[-1]["problem"]


def test_each_part_keeps_its_own_broken_frames(demo, tmp_path, monkeypatch):
    """So that the report of a call that was stopped is whole, and parts don't grow with the video."""
    read = decoding._decoded

    def broken(*given):
        for k, (when, item) in enumerate(read(*given)):
            yield when, ("a test" if k % 3 == 1 else item)

    monkeypatch.setattr(decoding, "_decoded", broken)
    path, out = write_video(tmp_path / "bad.mp4", pictures(24)), tmp_path / "out.parquet"
    options = {"every": 2, "chunk": 6, "progress": False}
    with pytest.raises(ZeroDivisionError):
        predict_video(path, demo, out, Blind(6, lambda: 1 / 0), **options)
    states = [state["broken"] for state in Parts(out, {}).states]
    assert [[entry["frame"] for entry in state] for state in states] == [[13], [7, 10], [1, 4]]
    with pytest.warns(UserWarning, match="left out 8 broken frames"):
        predict_video(path, demo, out, Blind(), **options)
    assert pd.read_csv(tmp_path / "out_broken.csv")["frame"].tolist() == list(range(1, 24, 3))


class Blind:
    """Sees nobody, and does something at one of its looks."""

    def __init__(self, at=None, then=None):
        self._looks, self._at, self._then = 0, at, then

    def __call__(self, image):
        self._looks += 1
        if self._looks == self._at:
            self._then()
        return Faces(np.empty((0, 4)), np.empty(0))


def test_a_call_without_a_frame_leaves_nothing(demo, tmp_path):
    path = write_video(tmp_path / "cut.avi", pictures(30))
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"movi") + 4])
    assert frame_count(path), "its header can be read"
    with pytest.raises(VideoError, match="cut.avi"):
        predict_video(path, demo, tmp_path / "out.parquet", progress=False)
    assert not list(tmp_path.glob("out*"))


def test_the_video_itself_is_not_overwritten(demo, tmp_path):
    path = write_video(tmp_path / "odd.parquet.mp4", pictures(2))
    linked = tmp_path / "out.parquet"
    linked.symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="out.parquet is the video itself"):
        predict_video(path, demo, linked, progress=False)
    assert path.read_bytes() == before


def test_files_that_are_no_videos_are_named(demo, tmp_path):
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 50)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.rate = 16000
        container.mux([*stream.encode(sound), *stream.encode()])
    for name, message in (
        ("zero.mp4", "is empty"),
        ("text.mp4", "is not a video that FFmpeg can read"),
        ("sound.mp4", "has no pictures, only audio"),
        ("missing.mp4", "does not exist"),
        ("", "is a folder"),
    ):
        with pytest.raises(VideoError, match=f"{tmp_path / name} {message}"):
            predict_video(tmp_path / name, demo, tmp_path / "out.parquet")
        assert not list(tmp_path.glob("out*")), "a call that failed at once claims a name"
    for options, message in (
        ({"every": 0}, "every is at least 1"),
        ({"limit": 0}, "limit is at least 1"),
        ({"on_error": "ignore"}, "'raise' or 'skip'"),
        ({"every": 2.5}, "every is at least 1, and whole; got 2.5"),
        ({"batch_size": True}, "batch_size is at least 1"),
        ({"confidence": 2}, r"confidence is in \[0, 1\], got 2"),
        ({"video": True}, "True is no camera"),
        ({"video": -1}, "-1 is no camera; they are numbered from 0"),
        ({"video": "https://example.org/a.mp4"}, "https://example.org/a.mp4 is an address, not a file; download"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_video(**{"video": CALL, "model": demo, "out": tmp_path / "out.parquet"} | options)
        assert not list(tmp_path.glob("out*"))


class Camera:
    """Shows the call again and again; interrupted at frame ``stop``."""

    def __init__(self, index, stop=13):
        self.index, self.stop, self.shown, self.released = index, stop, 0, False

    def isOpened(self):
        return self.index == 0

    def read(self):
        self.shown += 1
        if self.shown == self.stop:
            raise KeyboardInterrupt
        return True, next(read_frames(CALL)).image[:, :, ::-1]

    def release(self):
        self.released = True


def test_a_camera_runs_until_it_is_stopped(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    table = read_table(predict_video(0, demo, tmp_path / "interrupted.parquet", every=4, progress=False))
    assert table["frame"].tolist() == list(range(12)) and table["time"].is_monotonic_increasing
    assert table["id"].iloc[0] == "camera 0/000000_0" and table["time"].iloc[0] == 0
    table = read_table(predict_video(0, demo, tmp_path / "limited.parquet", limit=6, progress=False))
    assert table["frame"].tolist() == list(range(6))
    with pytest.raises(ZeroDivisionError):  # as good as a kill: a part is there, and no table
        predict_video(0, demo, tmp_path / "cut.parquet", Watched(2, lambda: 1 / 0), every=4, progress=False)
    with pytest.raises(ValueError, match="cut.parquet.unfinished holds what a camera showed.*choose another out"):
        predict_video(0, demo, tmp_path / "cut.parquet", Watched(), every=4, progress=False)
    with pytest.raises(VideoError, match="camera 1 cannot be opened"):
        predict_video(1, demo, tmp_path / "none.parquet", progress=False)


@pytest.mark.parametrize("shown", [0, 5])
def test_a_camera_that_stops_by_itself_is_reported(demo, tmp_path, monkeypatch, shown):
    class Failing(Camera):
        def read(self):
            self.shown += 1
            return (True, np.zeros((48, 64, 3), np.uint8)) if self.shown <= shown else (False, None)

    monkeypatch.setattr(cv2, "VideoCapture", Failing)
    call = partial(predict_video, 0, demo, tmp_path / "out.parquet", Blind(), progress=False)
    if shown:
        with pytest.warns(UserWarning, match=r"camera 0 stopped after 5 frames \([0-9.]+ s\)"):
            assert call().exists()
    else:
        with pytest.raises(VideoError, match="camera 0 is there but shows nothing"):
            call()
        assert not list(tmp_path.iterdir())
