import math

import pytest
import torch
import torchmetrics.functional as reference
from hypothesis import given
from hypothesis import strategies as st

from emokit.training.losses import (
    category_loss,
    ccc_loss,
    concordance,
    correlation,
    distillation_loss,
    heatmap_loss,
    mse_loss,
    pcc_loss,
    regression_loss,
    shake_weights,
)

torch.manual_seed(0)
P, T, Q, U = torch.randn(4, 50, dtype=torch.float64)
T, U = 0.6 * P + T, Q - 0.3 * U


def test_correlations_match_torchmetrics():
    torch.testing.assert_close(concordance(P, T), reference.concordance_corrcoef(P, T)[0], rtol=0, atol=1e-3)
    # torchmetrics divides by n - 1, the paper by n: with the same variance they agree.
    p, t, both = P.var(correction=0), T.var(correction=0), ((P - P.mean()) * (T - T.mean())).mean()
    torch.testing.assert_close(concordance(P, T), 2 * both / (p + t + (P.mean() - T.mean()) ** 2), rtol=0, atol=1e-7)
    torch.testing.assert_close(correlation(P, T), reference.pearson_corrcoef(P, T), rtol=0, atol=1e-7)


def test_losses_are_the_papers_equations():
    assert ccc_loss(P, Q, T, U) == pytest.approx(1 - (concordance(P, T) + concordance(Q, U)).item() / 2)
    assert pcc_loss(P, Q, T, U) == pytest.approx(1 - (correlation(P, T) + correlation(Q, U)).item() / 2)
    assert mse_loss(P, Q, T, U) == pytest.approx(((P - T) ** 2).mean().item() + ((Q - U) ** 2).mean().item())
    for loss in (ccc_loss, pcc_loss, mse_loss):
        assert loss(P, Q, P, Q).item() == pytest.approx(0, abs=1e-6)


def test_distillation_is_the_divergence_from_the_teacher():
    student, teacher = torch.randn(2, 6, 8, dtype=torch.float64)
    p_s, p_t = student.softmax(1), teacher.softmax(1)
    expected = (p_t * (p_t / p_s).log()).sum(1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher), expected)
    assert distillation_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-12)


def test_category_loss_leaves_out_faces_without_a_label():
    logits = torch.randn(4, 8)
    classes = torch.tensor([1, -1, 5, -1])
    torch.testing.assert_close(
        category_loss(logits, classes), torch.nn.functional.cross_entropy(logits[::2], classes[::2])
    )
    assert category_loss(logits, torch.full((4,), -1)).item() == 0


def test_shake_weights_sum_to_one_and_follow_their_seed():
    draws = [shake_weights(torch.Generator().manual_seed(k)) for k in range(300)]
    assert all(sum(d.values()) == pytest.approx(1) for d in draws)
    assert draws[0] == shake_weights(torch.Generator().manual_seed(0)) != draws[1]
    for name in ("mse", "pcc", "ccc"):
        assert sum(d[name] for d in draws) / 300 == pytest.approx(1 / 3, abs=0.03)
    weights = {"mse": 0.5, "pcc": 0.2, "ccc": 0.3}
    expected = 0.5 * mse_loss(P, Q, T, U) + 0.2 * pcc_loss(P, Q, T, U) + 0.3 * ccc_loss(P, Q, T, U)
    torch.testing.assert_close(regression_loss(P, Q, T, U, weights), expected)


@given(
    st.sampled_from([1, 2, 7]),
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.sampled_from([ccc_loss, pcc_loss, mse_loss]),
)
def test_gradients_are_finite_when_a_batch_is_constant_or_a_single_face(n, predicted, true, loss):
    valence = torch.full((n,), predicted, requires_grad=True)
    arousal = torch.linspace(-1, 1, n).requires_grad_()
    truth = torch.full((n,), true)
    value = loss(valence, arousal, truth, truth)
    value.backward()
    assert math.isfinite(value.item()) and valence.grad.isfinite().all() and arousal.grad.isfinite().all()


def test_heatmap_loss_is_zero_on_its_own_gaussians():
    landmarks = torch.rand(2, 68, 2) * 50 + 5
    cells = (landmarks + 0.5) / 4 - 0.5
    grid = torch.arange(16)
    x, y = (torch.exp(-((grid - cells[..., k : k + 1]) ** 2) / 2) for k in (0, 1))
    maps = y.unsqueeze(3) * x.unsqueeze(2)
    assert heatmap_loss(maps, landmarks).item() == pytest.approx(0, abs=1e-10)
    assert heatmap_loss(torch.zeros_like(maps), landmarks).item() > 1
