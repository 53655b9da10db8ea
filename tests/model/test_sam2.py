"""The whole network: what its two version flags change, what memory and pointers do, slots side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam2.model.mask_decoder import certainty
from napari_sam2.model.sam2 import Sam2
from napari_sam2.testing import tiny_sam2

VISIBLE, ABSENT = torch.tensor([3.0]), torch.tensor([-3.0])


@pytest.fixture(scope="module")
def network() -> Sam2:
    return tiny_sam2()


@pytest.fixture(scope="module")
def older(network) -> Sam2:
    """Return the same weights without what only SAM 2.1 has."""
    config = replace(network.config, pointer_time_code=False, absent_memory=False)
    made = Sam2(config).eval()
    unexpected = made.load_state_dict(network.state_dict(), strict=False).unexpected_keys
    assert len(unexpected) == 3
    return made


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def conditioned(network: Sam2, rows=(6, 0), offsets=(0.2,), order=None) -> torch.Tensor:
    config = network.config
    memories = noise(1, len(rows), config.memory.width, 4, 4, seed=1)
    order = list(range(len(rows))) if order is None else order
    return network.condition(
        network.begin(noise(1, config.width, 4, 4)),
        memories[:, order],
        torch.tensor(rows)[order],
        noise(1, len(offsets), config.width, seed=2),
        torch.tensor(offsets),
    )


def test_sizes_follow_from_the_configuration(network) -> None:
    config = network.config
    features = network.encode_image(noise(2, 3, 64, 64))
    assert features.stride4.shape == (2, config.width // 8, 16, 16)
    assert features.stride8.shape == (2, config.width // 4, 8, 8)
    assert features.stride16.shape == (2, config.width, config.grid, config.grid)
    memory = network.encode_memory(features.stride16, noise(2, 1, 64, 64), torch.ones(2))
    assert memory.shape == (2, config.memory.width, config.grid, config.grid)


def test_all_four_candidates_come_with_quality_and_token(network) -> None:
    features = network.encode_image(noise(1, 3, 64, 64))
    points, labels = network.pad_points(noise(2, 3, 2).abs() * 20, torch.ones(2, 3, dtype=int))
    assert labels[:, -1].tolist() == [-1, -1]
    marked = network.without_memory(features.stride16).expand(2, -1, -1, -1)
    decoded = network.decode(marked, features.stride4, features.stride8, points, labels)
    assert decoded.logits.shape == (2, 4, 16, 16)
    assert decoded.tokens.shape == (2, 4, network.config.width)
    assert decoded.object_score.shape == (2,)
    assert ((decoded.iou > 0) & (decoded.iou < 1)).all()


def test_slots_do_not_see_each_other(network) -> None:
    features = network.encode_image(noise(1, 3, 64, 64))
    points, labels = network.pad_points(noise(3, 1, 2).abs() * 20, torch.tensor([[1], [0], [1]]))
    marked = network.without_memory(features.stride16)
    together = network.decode(
        marked.expand(3, -1, -1, -1), features.stride4, features.stride8, points, labels
    )
    alone = network.decode(marked, features.stride4, features.stride8, points[1:2], labels[1:2])
    torch.testing.assert_close(together.logits[1:2], alone.logits, atol=1e-4, rtol=1e-4)


def test_the_order_of_prompt_points_does_not_matter(network) -> None:
    features = network.encode_image(noise(1, 3, 64, 64))
    points, labels = network.pad_points(noise(1, 3, 2).abs() * 20, torch.tensor([[1, 0, 1]]))
    marked = network.without_memory(features.stride16)
    answers = [
        network.decode(marked, features.stride4, features.stride8, points[:, o], labels[:, o])
        for o in ([0, 1, 2, 3], [2, 3, 1, 0])
    ]
    torch.testing.assert_close(answers[0].logits, answers[1].logits, atol=1e-4, rtol=1e-4)


def test_earlier_logits_change_the_answer(network) -> None:
    features = network.encode_image(noise(1, 3, 64, 64))
    points, labels = network.pad_points(noise(1, 1, 2).abs() * 20, torch.tensor([[1]]))
    marked = network.without_memory(features.stride16)
    given = (marked, features.stride4, features.stride8, points, labels)
    refined = network.decode(*given, noise(1, 1, 16, 16))
    assert not torch.allclose(refined.logits, network.decode(*given).logits, atol=1e-3)


def test_the_order_of_memories_does_not_matter_their_row_does(network) -> None:
    torch.testing.assert_close(
        conditioned(network), conditioned(network, order=[1, 0]), atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(conditioned(network), conditioned(network, rows=(6, 3)), atol=1e-4)


def test_a_frame_can_be_conditioned_without_any_pointer(network) -> None:
    answer = conditioned(network, offsets=())
    assert answer.isfinite().all()
    assert not torch.allclose(answer, conditioned(network), atol=1e-4)


def test_the_time_of_a_pointer_counts_in_2_1_only(network, older) -> None:
    near, far = (conditioned(network, offsets=(offset,)) for offset in (0.1, 0.9))
    assert not torch.allclose(near, far, atol=1e-4)
    near, far = (conditioned(older, offsets=(offset,)) for offset in (0.1, 0.9))
    assert torch.equal(near, far)


def test_an_absent_object_marks_its_memory_in_2_1_only(network, older) -> None:
    features, mask = noise(1, network.config.width, 4, 4), noise(1, 1, 64, 64)
    seen = network.encode_memory(features, mask, VISIBLE)
    marked = network.encode_memory(features, mask, ABSENT)
    mark = network.absent_memory.view(1, -1, 1, 1).expand_as(seen)
    torch.testing.assert_close(marked - seen, mark, atol=1e-5, rtol=0)
    assert torch.equal(older.encode_memory(features, mask, ABSENT), seen)
    assert torch.equal(older.encode_memory(features, mask, VISIBLE), seen)


def test_an_object_score_of_zero_is_absent(network) -> None:
    tokens = noise(2, network.config.width)
    pointers = network.pointer(tokens, torch.tensor([0.0, 1e-6]))
    assert torch.equal(pointers[:1], network.absent_pointer)
    assert torch.equal(pointers[1:], network.pointer_head(tokens)[1:])


def test_memory_depends_on_the_mask_and_on_the_frame(network) -> None:
    width = network.config.width
    base = network.encode_memory(noise(1, width, 4, 4), noise(1, 1, 64, 64), VISIBLE)
    other_mask = network.encode_memory(noise(1, width, 4, 4), noise(1, 1, 64, 64, seed=5), VISIBLE)
    other_frame = network.encode_memory(noise(1, width, 4, 4, seed=5), noise(1, 1, 64, 64), VISIBLE)
    assert not torch.allclose(base, other_mask, atol=1e-3)
    assert not torch.allclose(base, other_frame, atol=1e-3)


def test_the_certain_mask_is_preferred_where_the_network_says_so() -> None:
    logits = torch.full((1, 3, 8, 8), -4.0)
    logits[0, 0, :4] = 0.5  # large and unsure
    logits[0, 1, :2, :2] = 5.0  # small and sure
    sure = certainty(logits)
    assert sure.shape == (1, 3)
    assert sure[0].tolist() == pytest.approx([0.6225, 0.9933, 0.0], abs=1e-4)


@pytest.mark.parametrize("by_certainty", [True, False])
def test_the_config_decides_what_the_candidates_are_chosen_by(by_certainty: bool) -> None:
    base = tiny_sam2()
    config = replace(
        base.config, decoder=replace(base.config.decoder, chooses_by_certainty=by_certainty)
    )
    network = Sam2(config).eval()
    network.load_state_dict(base.state_dict())
    features = network.encode_image(torch.randn(1, 3, 64, 64, generator=torch.manual_seed(0)))
    points, labels = network.pad_points(torch.tensor([[[9.0, 20.0]]]), torch.ones(1, 1).long())
    with torch.no_grad():
        decoded = network.decode(
            network.without_memory(features.stride16),
            features.stride4,
            features.stride8,
            points,
            labels,
        )
    wanted = certainty(decoded.logits) if by_certainty else decoded.iou
    assert torch.equal(decoded.preference, wanted)
    assert not torch.equal(certainty(decoded.logits), decoded.iou)
