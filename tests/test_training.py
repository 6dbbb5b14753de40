import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as mp
from PIL import Image
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from emokit.data import sample_faces
from emokit.models import EmoFAN, ResNet18, load_emofan, load_resnet18, save_emofan, save_resnet18
from emokit.training.config import Config, read_config
from emokit.training.distributed import gather_batch
from emokit.training.losses import category_loss, regression_loss
from emokit.training.module import AffectModule, LandmarkModule, Optimiser, affect_metrics
from emokit.training.network import build
from emokit.training.record import finished
from emokit.training.run import fit
from emokit.training.sampler import FaceSampler, balanced_weights

TINY = {"width": 16, "input_size": 64, "batch_size": 16, "epochs": 1, "precision": "32-true"}


@pytest.fixture(scope="module")
def faces():
    samples = sample_faces()
    return samples.head(48), samples.tail(16)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights that give stage 2 its FAN."""
    path = tmp_path_factory.mktemp("start") / "fan.safetensors"
    save_emofan(EmoFAN(width=16, input_size=64), path)
    return str(path)


@pytest.mark.parametrize(
    ("network", "modality"),
    [
        ("resnet18", "O+R"), ("resnet18", "F+R+C+D"), ("emofan", "F+R"), ("emofan", "O+R+C+A+S"), ("emofan", "O+R+C+A+S+D"),
    ],
)  # fmt: skip
def test_rows_of_table_5_are_one_line(faces, start, tmp_path, monkeypatch, network, modality):
    monkeypatch.setattr("emokit.inference.landmarks.pooch.os_cache", lambda name: tmp_path / "cache")
    weights = start if network == "emofan" else None
    result = fit(Config(**TINY, network=network, modality=modality, weights=weights, out=tmp_path / "run"), *faces)
    assert ("accuracy" in result) == ("C" in modality)
    assert {"rmse_valence", "sagr_arousal", "pcc_valence", "ccc_arousal"} <= set(result)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert (tmp_path / "run" / "teacher" / "result.json").exists() == ("D" in modality)
    assert list((tmp_path / "cache").glob("landmarks-*.parquet")) if "F" in modality else True
    if network == "emofan":
        assert load_emofan(tmp_path / "run" / "model.safetensors").attention == ("A" in modality)
    else:
        assert load_resnet18(tmp_path / "run" / "model.safetensors").expressions[0] == "neutral"


def test_the_baseline_starts_from_imagenet_or_from_a_run(tmp_path):
    before = ResNet18(width=16, input_size=64)
    save_resnet18(before, tmp_path / "run.safetensors")
    bare = {k: v for k, v in before.state_dict().items() if not k.startswith("fc.")}
    imagenet = bare | {"fc.weight": torch.zeros(1000, 128), "fc.bias": torch.zeros(1000)}
    torch.save({k: v for k, v in imagenet.items() if "num_batches" not in k}, tmp_path / "imagenet.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in imagenet.items()}}, tmp_path / "wrapped.pth")
    for name, keep_head in (
        ("run.safetensors", True), ("run.safetensors", False), ("imagenet.pth", False), ("wrapped.pth", False),
    ):  # fmt: skip
        config = Config(**TINY, network="resnet18", modality="O+R", weights=str(tmp_path / name), keep_head=keep_head)
        after = build(config).state_dict()
        assert all(torch.equal(after[k], v) for k, v in bare.items())
        assert torch.equal(after["fc.weight"], before.fc.weight) == keep_head


def test_weights_of_another_layout_are_refused(tmp_path):
    state = ResNet18(width=16).state_dict()
    for change, message in (
        ({f"encoder.{k}": v for k, v in state.items()}, "tensors are missing, such as conv1.weight; give a ResNet-18"),
        ({k: v for k, v in state.items() if "layer4.1" not in k}, "tensors are missing, such as layer4.1"),
        (state | {"layer5.weight": torch.zeros(3)}, "1 tensors are unknown, such as layer5.weight"),
        (ResNet18(width=8).state_dict(), "tensors have another shape, such as conv1.weight"),
        ([3], "such as conv1.weight"),
    ):
        torch.save(change, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=f"weights: .*other.pth does not fit.* {message}"):
            build(Config(**TINY, network="resnet18", modality="O+R", weights=str(tmp_path / "other.pth")))
    save_emofan(EmoFAN(width=32, input_size=64), tmp_path / "wide.safetensors")
    with pytest.raises(ValueError, match="have another shape, such as .*; set width"):
        build(Config(**TINY, weights=str(tmp_path / "wide.safetensors")))


@pytest.mark.parametrize("recipe", ["affectnet", "afew_va", "sewa"])
def test_an_affect_head_never_learns_from_a_random_fan(tmp_path, recipe):
    with pytest.raises(ValueError, match="weights: none are given.*weights=FILE.*landmark_epochs"):
        fit(read_config(recipe, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_demo_fan_is_announced_where_pictures_may_be_photographs(faces, start, tmp_path, monkeypatch):
    class Recomputed(Exception):
        pass

    def recompute(*_):
        raise Recomputed

    monkeypatch.setattr("emokit.training.run.recompute_landmarks", recompute)
    config = Config(**TINY, modality="F+R", weights=start, out=tmp_path / "run", train={"dataset": "affectnet"})
    with pytest.warns(UserWarning, match="fan: 'demo' has seen only drawings.*fan=FILE"), pytest.raises(Recomputed):
        fit(config, *faces)
    with warnings.catch_warnings(record=True) as said, pytest.raises(Recomputed):
        warnings.simplefilter("always")
        fit(config.model_copy(update={"fan": start, "out": tmp_path / "other"}), *faces)
    assert not [w for w in said if "drawings" in str(w.message)]


def test_stage_two_freezes_fan(faces, tmp_path):
    config = Config(**TINY, landmark_epochs=1, out=tmp_path / "run")
    fit(config, *faces)
    after = load_emofan(config.out / "model.safetensors").state_dict()
    first = torch.load(config.out / "stage1" / "last.ckpt", weights_only=True)["state_dict"]
    same = {name for name in after if torch.equal(after[name], first[f"model.{name}"])}
    assert same >= {name for name in after if "emo_" not in name}
    assert any("emo_" in name for name in set(after) - same)


def test_settled_epochs_keep_the_running_statistics(faces, tmp_path):
    config = Config(**TINY | {"epochs": 3}, landmark_epochs=2, settle=1, out=tmp_path / "run")
    fit(config, *faces, progress=False)
    state = load_emofan(config.out / "model.safetensors").state_dict()
    batches = 48 // 16
    assert state["m0.b1_4.bn1.num_batches_tracked"] == batches * (2 - 1)
    assert state["emo_fc_2.1.num_batches_tracked"] == batches * (3 - 1)


def test_mixed_precision_trains_alike(faces, tmp_path):
    whole, mixed = (
        fit(Config(**TINY | {"precision": p, "epochs": 2}, landmark_epochs=1, out=tmp_path / p), *faces, progress=False)
        for p in ("32-true", "bf16-mixed")
    )
    state = load_emofan(tmp_path / "bf16-mixed" / "model.safetensors").state_dict()
    assert all(tensor.isfinite().all() for tensor in state.values())
    checkpoint = torch.load(tmp_path / "bf16-mixed" / "stage2" / "last.ckpt", weights_only=True)["state_dict"]
    assert {tensor.dtype for tensor in checkpoint.values()} == {torch.float32, torch.int64}
    # Correlations over 16 faces of a network that has hardly begun to learn are chance.
    errors = [name for name in whole if name.startswith("rmse")]
    assert mixed != whole and [mixed[name] for name in errors] == pytest.approx(
        [whole[name] for name in errors], abs=0.25
    )


def test_compiled_stages_train_alike(faces, tmp_path, monkeypatch):
    """Both stages run through the compiler; here it only traces, so that the test is quick."""
    traced, compiler = [], torch.compile

    def trace(function, **options):
        traced.append(function)
        return compiler(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", trace)
    monkeypatch.setattr("emokit.training.run.build", lambda config: EmoFAN(width=16, depth=1, input_size=64))
    eager, compiled = (
        fit(Config(**TINY, landmark_epochs=1, compile=c, out=tmp_path / str(c)), *faces, progress=False)
        for c in (False, True)
    )
    assert len(traced) == 2 and compiled == pytest.approx(eager, abs=1e-3)


def test_fan_runs_without_autograd():
    module = AffectModule(EmoFAN(width=16, input_size=64)).train()
    out, _ = module(torch.rand(2, 3, 64, 64))
    out.valence.sum().backward()
    graded = {name for name, p in module.model.named_parameters() if p.grad is not None}
    assert graded and all("emo_" in name for name in graded)
    assert not module.model.bn1.training and module.model.emo_fc_2.training


@pytest.mark.parametrize("kind", [LandmarkModule, AffectModule])
def test_a_stage_freezes_the_others_parameters_while_it_runs(kind):
    module = kind(EmoFAN(width=16, input_size=64), Optimiser(), None, 0)
    module.setup("fit")
    graded = {name for name, p in module.model.named_parameters() if p.requires_grad}
    assert graded == {n for n, _ in module.model.named_parameters() if ("emo_" in n) == (kind is AffectModule)}
    module.teardown("fit")
    assert all(p.requires_grad for p in module.parameters())


def test_the_students_loss_is_the_papers():
    torch.manual_seed(0)
    teacher, images = ResNet18(width=16).eval(), torch.rand(6, 3, 64, 64)
    module = AffectModule(ResNet18(width=16), loss="ccc", teacher=teacher)
    logits, valence, arousal = torch.randn(6, 8), torch.randn(6), torch.randn(6)
    labels = torch.tensor([0, 1, 2, 3, 4, -1]), torch.randn(6), torch.randn(6)
    said = teacher(images)
    _, taught = module(images, teach=True)
    loss = module.affect_loss(logits, valence, arousal, *labels, taught, torch.Generator())
    p_t, p_s = said.expression.softmax(1), logits.softmax(1)
    expected = (
        category_loss(logits, labels[0])
        + (p_t * (p_t / p_s).log()).sum(1).mean()
        + regression_loss(valence, arousal, said.valence.clamp(-1, 1), said.arousal.clamp(-1, 1), {"ccc": 1.0})
    )
    torch.testing.assert_close(loss, expected)
    assert all(not name.startswith("_teacher") for name in module.state_dict())
    assert module(images)[1] is None


def test_a_teacher_with_the_same_fan_reads_its_features(monkeypatch):
    torch.manual_seed(0)
    student, teacher = EmoFAN(width=16, input_size=64), EmoFAN(width=16, input_size=64)
    other, images = EmoFAN(width=16, input_size=64), torch.rand(2, 3, 64, 64)
    teacher.load_state_dict({k: v for k, v in student.state_dict().items() if "emo_" not in k}, strict=False)
    for network, computed in ((teacher, 0), (other, 1)):
        module = AffectModule(student, teacher=network).eval()
        expected, asked = network(images), []
        module.on_fit_start()
        plain = network.features
        monkeypatch.setattr(network, "features", lambda x, plain=plain, asked=asked: asked.append(1) or plain(x))
        for one, same in zip(module(images, teach=True)[1], expected, strict=True):
            torch.testing.assert_close(one, same)
        assert len(asked) == computed


SIZES = (5, 8)


def _one_process(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    weight, data = _problem()
    part = slice(rank * 6, rank * 6 + 6)
    loss = _global_loss(weight, *(x[part] for x in data))
    loss.backward()
    distributed.all_reduce(weight.grad)  # data-parallel training averages gradients
    step = _step()
    parallel = DistributedDataParallel(step)
    parallel({name: rows[rank * 3 : rank * 3 + 3] for name, rows in _batch().items()}).backward()
    torch.save((loss.detach(), weight.grad / 2, _gradients(step)), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def _problem():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(SIZES, generator=generator, dtype=torch.float64).requires_grad_()
    x, valence, arousal = (torch.randn(12, *n, generator=generator, dtype=torch.float64) for n in ((5,), (), ()))
    return weight, (x, torch.arange(12) % 6, valence, arousal)


def _global_loss(weight, x, classes, valence, arousal):
    out = x @ weight
    logits, v, a = gather_batch(out[:, :6]), gather_batch(out[:, 6]), gather_batch(out[:, 7])
    classes, valence, arousal = map(gather_batch, (classes, valence, arousal))
    weights = {"mse": 0.2, "pcc": 0.3, "ccc": 0.5}
    return category_loss(logits, classes) + regression_loss(v, a, valence, arousal, weights)


class Step(nn.Module):
    """Stage 2's training step as the module that is made data-parallel, as Lightning does it."""

    def __init__(self, module: AffectModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch):
        return self.module.training_step(batch, 0)


def _step() -> Step:
    torch.manual_seed(5)
    student, teacher = EmoFAN(width=16, input_size=64), EmoFAN(width=16, input_size=64)
    module = AffectModule(student, augment=None, seed=1, teacher=teacher)
    module.setup("fit")
    return Step(module).eval()  # settled, since statistics of batch norm are each process's own


def _batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return {
        "image": torch.randint(0, 256, (6, 3, 64, 64), generator=generator, dtype=torch.uint8),
        "landmarks": torch.zeros(6, 68, 2),
        "expression": torch.tensor([0, 3, -1, -1, -1, 5]),  # a process's own mean is not the batch's
        "valence": torch.rand(6, generator=generator),
        "arousal": torch.rand(6, generator=generator),
    }


def _gradients(step: Step) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in step.module.model.named_parameters() if p.grad is not None}


def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path):
    weight, data = _problem()
    loss = _global_loss(weight, *data)
    loss.backward()
    step = _step()
    step(_batch()).backward()
    alone = _gradients(step)
    assert any(gradient.abs().max() > 1e-2 for gradient in alone.values())
    mp.spawn(_one_process, args=(29_500 + os.getpid() % 500, str(tmp_path)), nprocs=2)
    for rank in (0, 1):
        other, gradient, gradients = torch.load(tmp_path / f"{rank}.pt")
        assert abs(other - loss) < 1e-5
        torch.testing.assert_close(gradient, weight.grad, rtol=0, atol=1e-5)
        torch.testing.assert_close(gradients, alone, rtol=0, atol=1e-5)


def test_ranks_share_an_epoch():
    ranks = [FaceSampler(11, seed=4, rank=rank, ranks=2) for rank in (0, 1)]
    for sampler in ranks:
        sampler.set_epoch(3)
    dealt = [list(sampler) for sampler in ranks]
    assert [len(d) for d in dealt] == [6, 6] and set(dealt[0] + dealt[1]) == set(range(11))
    again = FaceSampler(11, seed=4)
    first = list(again)
    again.set_epoch(1)
    assert sorted(first) == list(range(11)) and list(again) != first


def test_balanced_classes_are_drawn_equally_often():
    classes = np.repeat([0, 1, 2], [900, 90, 10])
    drawn = classes[list(FaceSampler(1000, 0, balanced_weights(classes)))]
    assert np.abs(np.bincount(drawn) / 1000 - 1 / 3).max() < 0.06


def test_metrics_clip_and_leave_out_missing_labels():
    known = torch.tensor([[0, 0.5, -0.5], [-1, 1.0, 0.2], [2, -0.3, 0.1]])
    said = torch.tensor([[0, 0.5, -0.5], [3, 7.0, 0.2], [1, -0.3, 0.1]])
    found = affect_metrics(known, said)
    assert found["accuracy"] == 0.5 and found["rmse_valence"] == 0 and found["sagr_arousal"] == 1
    assert found["ccc_valence"].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modality: R+X", "run.yaml, modality: .*join R"),
        ("optimiser: {lr: 3}", "run.yaml, optimiser.lr"),
        ("epocs: 3", "run.yaml, epocs: Extra inputs"),
        ("width: wide", "run.yaml, width: .*'wide'"),
        ("network: resnet18\nmodality: O+R+A", "resnet18 has no attention"),
        ("width: -3", "run.yaml, width: .*greater than or equal to 4"),
        ("width: 18", r"width \(18\) a multiple of 4"),
        ("input_size: 100", r"input_size \(100\) one of 64"),
        ("batch_size: 0", "run.yaml, batch_size: .*greater than or equal to 2"),
        ("epochs: -5", "run.yaml, epochs: "),
        ("landmark_epochs: -1", "run.yaml, landmark_epochs: "),
        ("settle: -1", "run.yaml, settle: "),
        ("seed: -1", "run.yaml, seed: "),
        ("context: 0.5", "run.yaml, context: "),
        ("workers: -1", "run.yaml, workers: "),
        ("augment: {flip: 7}", "run.yaml, augment: .*flip is between 0 and 1, got 7"),
        ("augment: {rotation: -7}", "run.yaml, augment: .*rotation is between 0 and 180"),
        ("precision: fp7", "run.yaml, precision: .*'bf16-mixed'"),
        ("optimiser: {learning_rate: -1}", "run.yaml, optimiser.learning_rate"),
        ("landmark_optimiser: {beta2: 1}", "run.yaml, landmark_optimiser.beta2"),
        ("optimiser: {step: 0}", "run.yaml, optimiser.step"),
        ("train: {noise: {wrog: 0.1}}", "run.yaml, train.noise: .*'wrog'; choose from wrong, spread, misplaced, seed"),
        ("- 3", "one 'name: value' per line"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_configurations_are_named(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(path)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_empty_tables_are_named(faces, tmp_path, name):
    tables = dict(zip(("train", "validation"), faces, strict=True))
    tables[name] = tables[name].head(0)
    with pytest.raises(ValueError, match=f"^{name}: the samples table has no rows"):
        fit(Config(**TINY, network="resnet18", modality="O+R", out=tmp_path / "run"), **tables)


def command(folder, faces, *changes):
    """The command line of one run, in a process that leaves CPU to its neighbours."""
    train, validation = faces
    path = folder / "run.yaml"
    tables = {}
    for name, table in (("train", train), ("validation", validation)):
        table.to_parquet(folder / f"{name}.parquet")
        tables[name] = {"dataset": "table", "options": {"table": str(folder / f"{name}.parquet")}}
    steps = {"epochs": 12, "landmark_epochs": 4, "optimiser": {"step": 2}}
    path.write_text(json.dumps(TINY | tables | steps | {"landmark_optimiser": {"schedule": "one-cycle"}}))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "emokit.training", str(path), *changes]
    return subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_after(epochs, curve, run):
    """Kill ``run`` in the epoch after ``epochs``, and mark the first as seen."""
    while not curve.exists() or len(pd.read_csv(curve)) < epochs:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    table = pd.read_csv(curve)
    table.loc[0, "loss"] = -1.0
    table.to_csv(curve, index=False)
    return len(table)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(faces, tmp_path):
    whole = command(tmp_path, faces, f"out={tmp_path}/whole")
    stages = {name: tmp_path / "killed" / name / "metrics.csv" for name in ("stage1", "stage2")}
    for (stage, curve), after, of in zip(stages.items(), (2, 3), (4, 12), strict=True):
        seen = killed_after(after, curve, command(tmp_path, faces, f"out={tmp_path}/killed"))
        assert seen < of, f"{stage} was over before it could be killed"
    assert not (tmp_path / "killed" / "result.json").exists()
    again = command(tmp_path, faces, f"out={tmp_path}/killed")
    for run in (whole, again):
        assert run.wait(300) == 0, run.stderr.read()
    first, second = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed"))
    assert first == pytest.approx(second, abs=1e-9)
    for stage, curve in stages.items():
        table, uninterrupted = pd.read_csv(curve), pd.read_csv(tmp_path / "whole" / stage / "metrics.csv")
        assert table["loss"][0] == -1  # the mark is there still: it went on, and did not start anew
        pd.testing.assert_frame_equal(table[1:], uninterrupted[1:])
    # The call from a notebook gives what the command gives.
    config = read_config(tmp_path / "run.yaml", out=tmp_path / "call")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert fit(config) == pytest.approx(first, abs=1e-9)
    torch.set_num_threads(threads)


def test_two_processes_train_under_torchrun(faces, tmp_path):
    """Both stages and a teacher, three steps an epoch: parameters without gradient are noticed in the second."""
    command(tmp_path, faces, f"out={tmp_path}/unused").kill()
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={29_000 + os.getpid() % 500}",
         "-m", "emokit.training", str(tmp_path / "run.yaml"), f"out={tmp_path}/two", "batch_size=8", "epochs=1",
         "landmark_epochs=1", "modality=O+R+C+D"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads((tmp_path / "two" / "result.json").read_text())
    assert "ccc_valence" in result and (tmp_path / "two" / "teacher" / "model.safetensors").exists()
    assert run.stdout.count(f'"ccc_valence": {result["ccc_valence"]}') == 2  # every process has the metrics


def test_other_pictures_boxes_or_landmarks_are_another_run(faces, tmp_path):
    train, validation = faces[0].head(3), faces[1]
    images = [tmp_path / f"{k}.png" for k in range(3)]
    for image in images:
        Image.new("RGB", (8, 8)).save(image)
    train = train.assign(image=[str(image) for image in images])
    config = Config(**TINY, network="resnet18", modality="O+R", out=tmp_path / "run")
    assert finished(config, train, validation) is None
    (config.out / "result.json").write_text('{"ccc_valence": 0.5}')
    os.utime(images[0], (1, 1))  # as a copy has it
    assert finished(config, train, validation) == {"ccc_valence": 0.5}
    moved = train.assign(landmarks=[None, *train["landmarks"][1:]])
    elsewhere = train.assign(image=[str(images[1]), *train["image"][1:]])
    for other in (train.assign(x0=train["x0"] + 1), moved, elsewhere):
        with pytest.raises(ValueError, match="holds a run with train faces"):
            finished(config, other, validation)
    content = images[2].read_bytes()
    images[2].write_bytes(content[:-1] + b"!")  # of the same size
    with pytest.raises(ValueError, match="holds a run with train faces"):
        finished(config, train, validation)


def test_a_prolonged_run_has_no_result_until_it_ends(faces, tmp_path):
    config = Config(**TINY, network="resnet18", modality="O+R", out=tmp_path / "run")
    assert finished(config, *faces) is None
    (config.out / "result.json").write_text('{"ccc_valence": 0.5}')
    assert finished(config, *faces) == {"ccc_valence": 0.5}
    longer = config.model_copy(update={"epochs": 9})
    assert finished(longer, *faces) is None
    assert finished(longer, *faces) is None
