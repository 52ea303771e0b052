"""Contrastive, consistency and domain terms against independent computations, and what must not change them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import Convolutions, network, seen, step
from torch import Tensor

from tlimb.components.contracts import Term
from tlimb.components.objectives import (
    AuxiliaryTerm,
    Consistency,
    Contrastive,
    Coral,
    DomainAdversarial,
    ElasticPenalty,
    MaskedAutoencoder,
    MaskedImageModelling,
    Mmd,
    PseudoLabels,
)
from tlimb.components.objectives.contrastive import nt_xent
from tlimb.errors import InputError

Array = NDArray[np.float64]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def numeric_gradient(function: Any, at: Tensor, size: float = 1e-5) -> Tensor:
    """Central differences in float64."""
    flat = at.detach().double().flatten()
    gradient = torch.empty_like(flat)
    for index in range(len(flat)):
        sides = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[index] += sign * size
            sides.append(float(function(moved.reshape(at.shape))))
        gradient[index] = (sides[0] - sides[1]) / (2 * size)
    return gradient.reshape(at.shape)


# ------------------------------------------------------------------ contrastive
def naive_nt_xent(first: Array, second: Array, temperature: float) -> float:
    rows = [row / np.linalg.norm(row) for row in [*first, *second]]
    count, total = len(first), 0.0
    for i in range(2 * count):
        partner = i + count if i < count else i - count
        others = sum(math.exp(rows[i] @ rows[k] / temperature) for k in range(2 * count) if k != i)
        total -= math.log(math.exp(rows[i] @ rows[partner] / temperature) / others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_nt_xent_is_the_double_loop(temperature: float) -> None:
    first, second = draw(5, 7), draw(5, 7, seed=1)
    expected = naive_nt_xent(first.double().numpy(), second.double().numpy(), temperature)
    assert nt_xent(first, second, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_projects_the_features_of_both_views() -> None:
    torch.manual_seed(0)
    net = network()
    term = Contrastive(temperature=0.2, hidden=5, projection=4, weight=3.0)
    term.connect(net)
    first, second = draw(4, 6), draw(4, 6, seed=1)
    weights = {name: parameter.detach().double().numpy() for name, parameter in term.named_parameters()}

    def project(features: Tensor) -> Array:
        hidden = np.maximum(features.double().numpy() @ weights["projector.0.weight"].T + weights["projector.0.bias"], 0)
        return hidden @ weights["projector.2.weight"].T + weights["projector.2.bias"]

    loss = term(step(net, None, seen(features=first), seen(features=second)))
    assert loss.item() == pytest.approx(3 * naive_nt_xent(project(first), project(second), 0.2), rel=1e-5)


def test_contrastive_is_least_where_views_agree_and_images_differ() -> None:
    apart = torch.eye(6)
    assert nt_xent(apart, apart, 0.1) < nt_xent(apart, apart.roll(1, 0), 0.1)
    assert nt_xent(apart, apart, 0.1) < nt_xent(torch.ones(6, 6), torch.ones(6, 6), 0.1) == pytest.approx(math.log(11))


def test_contrastive_of_one_image_has_no_negatives_and_is_zero() -> None:
    assert nt_xent(draw(1, 4), draw(1, 4, seed=1), 0.1).item() == 0.0


def test_contrastive_stays_finite_in_mixed_precision_at_a_low_temperature() -> None:
    net = network()
    term = Contrastive(temperature=0.01)
    term.connect(net)
    features = [draw(4, 6, seed=seed).requires_grad_() for seed in (0, 1)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = term(step(net, None, *(seen(features=feature) for feature in features)))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert features[0].grad is not None
    assert features[0].grad.isfinite().all()


# ------------------------------------------------------------------ consistency
def test_consistency_is_the_squared_distance_of_probabilities_and_of_numbers() -> None:
    net = network(age=None, sex=3)
    student = {"age": draw(4), "sex": draw(4, 3, seed=1)}
    teacher = {"age": draw(4, seed=2), "sex": draw(4, 3, seed=3)}

    def softmax(logits: Tensor) -> Array:
        raised = np.exp(logits.double().numpy())
        return raised / raised.sum(axis=1, keepdims=True)

    age = np.mean((student["age"].double().numpy() - teacher["age"].double().numpy()) ** 2)
    sex = np.mean((softmax(student["sex"]) - softmax(teacher["sex"])) ** 2)
    for progress, ramp, factor in [(1.0, 0.5, 1.0), (0.0, 0.5, math.exp(-5)), (0.1, 0.5, math.exp(-5 * 0.8**2)), (0.0, 0.0, 1.0)]:
        loss = Consistency(weight=2.0, ramp=ramp)(
            step(net, None, seen(**student), seen(), teacher=seen(**teacher), progress=progress),
        )
        assert loss.item() == pytest.approx(2 * factor * (age + sex), rel=1e-5)


def test_consistency_moves_the_student_only() -> None:
    net = network(age=None)
    student, teacher = draw(4).requires_grad_(), draw(4, seed=1).requires_grad_()
    Consistency()(step(net, None, seen(age=student), seen(age=draw(4, seed=2)), teacher=seen(age=teacher))).backward()
    assert teacher.grad is None
    assert student.grad is not None
    torch.testing.assert_close(student.grad, (2 / 4 * (student - teacher)).detach())


# ------------------------------------------------------------------ pseudo-labels
def test_pseudo_labels_count_where_the_weak_view_is_sure_and_divide_by_all() -> None:
    weak = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.01, 0.99], [0.9, 0.1]]).log()
    full = draw(4, 2)
    probabilities = np.exp(full.double().numpy())
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = -(math.log(probabilities[0, 0]) + math.log(probabilities[2, 1])) / 4
    loss = PseudoLabels(threshold=0.9499, weight=2.0)(step(network(sex=2), None, seen(sex=weak), seen(sex=full)))
    assert loss.item() == pytest.approx(2 * expected, rel=1e-5)


def test_pseudo_labels_at_the_threshold_count() -> None:
    weak, full = torch.zeros(3, 2), draw(3, 2)
    assert PseudoLabels(threshold=0.5)(step(network(sex=2), None, seen(sex=weak), seen(sex=full))).item() > 0


def test_pseudo_labels_of_several_targets_add_up() -> None:
    weak = {"sex": draw(4, 2) * 9, "hand": draw(4, 3, seed=1) * 9}
    full = {"sex": draw(4, 2, seed=2), "hand": draw(4, 3, seed=3)}
    both = PseudoLabels()(step(network(sex=2, hand=3), None, seen(**weak), seen(**full)))
    parts = [PseudoLabels()(step(network(**{k: 2}), None, seen(**{k: weak[k]}), seen(**{k: full[k]}))).item() for k in full]
    assert both.item() == pytest.approx(sum(parts))
    assert min(parts) > 0


def test_pseudo_labels_send_no_gradient_through_the_weak_view() -> None:
    weak, full = (draw(4, 2) * 9).requires_grad_(), draw(4, 2, seed=1).requires_grad_()
    PseudoLabels()(step(network(sex=2), None, seen(sex=weak), seen(sex=full))).backward()
    assert weak.grad is None
    assert full.grad is not None
    assert full.grad.abs().sum() > 0


def test_a_threshold_above_one_adds_exactly_nothing() -> None:
    full = draw(4, 2).requires_grad_()
    loss = PseudoLabels(threshold=1.01)(step(network(sex=2), None, seen(sex=draw(4, 2) * 99), seen(sex=full)))
    loss.backward()
    assert loss.item() == 0.0
    assert full.grad is not None
    assert (full.grad == 0).all()


def test_pseudo_labels_of_numbers_are_refused() -> None:
    PseudoLabels().connect(network(sex=2))
    with pytest.raises(InputError, match="age is a number") as error:
        PseudoLabels().connect(network(age=None, sex=2))
    assert "meanteacher" in error.value.hint


# ------------------------------------------------------------------ domains
def domains(source: Tensor, target: Tensor, **other: Any) -> Any:
    return step(other.pop("net", None), seen(features=source), seen(features=target), **other)


def connected(**arguments: Any) -> DomainAdversarial:
    torch.manual_seed(0)
    term = DomainAdversarial(**arguments)
    term.connect(network())
    return term


def test_the_domain_classifiers_loss_is_the_mean_cross_entropy_of_both_domains() -> None:
    term = connected(hidden=5)
    source, target = draw(3, 6), draw(5, 6, seed=1)
    weights = [parameter.detach().double().numpy() for parameter in term.parameters()]

    def cross_entropy(features: Tensor, domain: int) -> float:
        logits = np.maximum(features.double().numpy() @ weights[0].T + weights[1], 0) @ weights[2].T + weights[3]
        probability = 1 / (1 + np.exp(-logits[:, 0]))
        return float(np.mean(-np.log(probability if domain else 1 - probability)))

    expected = (cross_entropy(source, 0) + cross_entropy(target, 1)) / 2
    for weight in (0.0, 1.0, 7.0):
        assert connected(hidden=5, weight=weight)(domains(source, target)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_only_the_encoders_gradient_is_reversed_and_scaled(progress: float) -> None:
    def gradients(weight: float, reverse: bool) -> tuple[Tensor, list[Tensor]]:
        term = connected(weight=weight)
        source, target = draw(4, 6).requires_grad_(), draw(4, 6, seed=1).requires_grad_()
        if reverse:
            loss = term(domains(source, target, progress=progress))
        else:
            logits = term.classifier(torch.cat([source, target])).squeeze(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.0] * 4 + [1.0] * 4))
        loss.backward()
        assert source.grad is not None
        assert target.grad is not None
        return torch.cat([source.grad, target.grad]), [parameter.grad for parameter in term.parameters() if parameter.grad is not None]

    plain, classifier = gradients(1.0, False)
    reversed_, same = gradients(0.7, True)
    torch.testing.assert_close(reversed_, -0.7 * (2 / (1 + math.exp(-10 * progress)) - 1) * plain)
    for one, other in zip(classifier, same, strict=True):
        torch.testing.assert_close(one, other)


def test_an_adversary_without_weight_leaves_the_encoder_alone() -> None:
    source, target = draw(4, 6).requires_grad_(), draw(4, 6, seed=1).requires_grad_()
    connected(weight=0.0)(domains(source, target)).backward()
    assert source.grad is not None
    assert (source.grad == 0).all()


def test_coral_is_the_distance_of_the_covariances() -> None:
    source, target = draw(7, 4), 2 * draw(9, 4, seed=1) + 1
    difference = np.cov(source.double().numpy(), rowvar=False) - np.cov(target.double().numpy(), rowvar=False)
    assert Coral(weight=3.0)(domains(source, target)).item() == pytest.approx(3 * np.sum(difference**2) / (4 * 4**2), rel=1e-5)


def test_coral_does_not_see_a_shift_of_the_mean() -> None:
    source, target = draw(8, 4), draw(8, 4, seed=1)
    assert Coral()(domains(source, target + 100)).item() == pytest.approx(Coral()(domains(source, target)).item(), rel=1e-3)
    assert Coral()(domains(source, source)).item() == 0.0


def test_coral_of_a_single_image_is_zero() -> None:
    assert Coral()(domains(draw(1, 4), draw(8, 4))).item() == 0.0


def naive_mmd(source: Array, target: Array) -> float:
    both = [*source, *target]
    pairs = [np.sum((a - b) ** 2) for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    width = np.mean(pairs)

    def kernel(a: Array, b: Array) -> float:
        return sum(math.exp(-np.sum((a - b) ** 2) / (width * 2.0**i)) for i in (-2, -1, 0, 1, 2))

    def mean(first: Array, second: Array) -> float:
        return float(np.mean([kernel(a, b) for a in first for b in second]))

    return mean(source, source) + mean(target, target) - 2 * mean(source, target)


def test_mmd_is_the_double_loop() -> None:
    source, target = draw(5, 4), draw(8, 4, seed=1) + 1
    expected = naive_mmd(source.double().numpy(), target.double().numpy())
    assert Mmd(weight=2.0)(domains(source, target)).item() == pytest.approx(2 * expected, rel=1e-5)


def test_mmd_of_equal_samples_is_zero_in_any_order() -> None:
    source = draw(6, 4)
    assert Mmd()(domains(source, source.flip(0))).item() == pytest.approx(0, abs=1e-5)
    assert Mmd()(domains(source, source + 3)).item() > 0.5
    same = torch.ones(3, 4, requires_grad=True)
    loss = Mmd()(domains(same, same))
    loss.backward()
    assert loss.item() == 0.0
    assert same.grad is not None
    assert same.grad.isfinite().all()


@pytest.mark.parametrize("term", [Coral(), Mmd()])
def test_gradients_of_the_distances_agree_with_finite_differences(term: AuxiliaryTerm) -> None:
    source, target = draw(4, 3).requires_grad_(), draw(5, 3, seed=1) * 1.5

    def reference(features: Tensor) -> float:
        first, second = features.detach().numpy().astype(np.float64), target.double().numpy()
        if isinstance(term, Coral):
            return float(np.sum((np.cov(first, rowvar=False) - np.cov(second, rowvar=False)) ** 2) / 36)
        both = np.concatenate([first, second])
        start = np.concatenate([source.detach().double().numpy(), second])
        width = np.sum((start[:, None] - start[None]) ** 2) / (9 * 8)  # without gradient: stays where it was
        kernel = sum(np.exp(-np.sum((both[:, None] - both[None]) ** 2, axis=2) / (width * 2.0**i)) for i in range(-2, 3))
        return float(kernel[:4, :4].mean() + kernel[4:, 4:].mean() - 2 * kernel[:4, 4:].mean())

    term(domains(source, target)).backward()
    assert source.grad is not None
    torch.testing.assert_close(source.grad.double(), numeric_gradient(reference, source), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [Coral, Mmd, DomainAdversarial])
def test_domain_terms_are_the_same_in_mixed_precision(kind: type[AuxiliaryTerm]) -> None:
    torch.manual_seed(0)
    term = kind()
    term.connect(network())
    source, target = draw(5, 6), draw(7, 6, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = term(domains(source, target))
    assert mixed.dtype == torch.float32
    assert mixed.item() == term(domains(source, target)).item()


# ------------------------------------------------------------------ all terms
TERMS = (
    ElasticPenalty(0.0, beta=0.0),
    Contrastive(),
    MaskedAutoencoder(),
    MaskedImageModelling(),
    Consistency(),
    PseudoLabels(),
    DomainAdversarial(),
    Coral(),
    Mmd(),
)


@pytest.mark.parametrize("term", TERMS, ids=lambda term: type(term).__name__)
def test_a_term_with_nothing_to_do_is_zero_and_differentiable(term: AuxiliaryTerm) -> None:
    from small_networks import Patches

    net = network(Patches() if isinstance(term, MaskedAutoencoder) else Convolutions(), sex=2)
    term.connect(net)
    loss = term(step(net))
    (loss + next(net.parameters()).sum()).backward()
    assert loss.shape == ()
    assert loss.item() == 0.0


@pytest.mark.parametrize("term", TERMS, ids=lambda term: type(term).__name__)
def test_terms_keep_the_contract(term: AuxiliaryTerm) -> None:
    checked: Term = term
    assert set(checked.views) <= {"plain", "weak", "full"}
    assert checked.encodes == isinstance(term, MaskedAutoencoder | MaskedImageModelling)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Contrastive, {"temperature": 0}),
        (Contrastive, {"projection": 0}),
        (Consistency, {"ramp": 1.5}),
        (PseudoLabels, {"threshold": -1}),
        (DomainAdversarial, {"weight": -1}),
        (Coral, {"weight": float("nan")}),
        (MaskedAutoencoder, {"ratio": 1.0}),
        (MaskedAutoencoder, {"decoder_dim": 10, "decoder_heads": 3}),
        (MaskedImageModelling, {"ratio": 0}),
        (MaskedImageModelling, {"patch": 0}),
    ],
)
def test_arguments_out_of_range_are_told(kind: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        kind(**arguments)
    assert next(iter(arguments)) in error.value.message
    assert error.value.hint
