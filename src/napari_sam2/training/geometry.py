"""Initial geometry: what decides whether a small SAM 2 learns to follow a click at all.

At a random start a click token sees the whole image and the image cannot tell where the click is, so training
rests on "the whole foreground, whichever object was clicked". Here attention becomes local from the first
step; the Fourier scale and the number of heads, which matter as much, belong to the preset. `measure` tells
what is achieved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_sam2.model.memory_attention import RotaryAttention
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.two_way import Attention

QUERY_GAIN = 2.7
NORM_GAIN = 0.3
TOKEN_SPREAD = 0.3
FEATURE_GAIN = 0.4
BACKGROUND_LOGIT = -2.5
WRITE_GAIN = 1.5
PLACE_GAIN = 2.2
"""Strength of the constant part of memory queries and keys, which the rotary encoding turns into "look near by"."""


def initialise(net: Sam2, seed: int) -> Sam2:
    """Draw all weights anew, from `seed`, with a geometry that can be trained; return `net`."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        fresh = Sam2(net.config)
        net.load_state_dict(fresh.state_dict())
        _localise_decoder(net)
        _localise_memory(net)
        _expect_background(net)
        # An absent object has no mask to learn from: begin with "everything is visible".
        net.mask_decoder.object_head.layers[-1].bias.fill_(2.0)
        for token in ("mask_tokens", "iou_token", "object_token"):
            nn.init.normal_(getattr(net.mask_decoder, token).weight, std=TOKEN_SPREAD)
        for lateral in net.neck.laterals[:2]:
            lateral.weight.mul_(FEATURE_GAIN)
    return net


def _localise_decoder(net: Sam2) -> None:
    transformer = net.mask_decoder.transformer
    cross = [transformer.final_token_to_image]
    for layer in transformer.layers:
        cross += [layer.token_to_image, layer.image_to_token]
        # Content would drown the place after the norms.
        for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
            norm.weight.fill_(NORM_GAIN)
    for attention in cross:
        _tie(attention)
    for layer in transformer.layers:
        # What a click writes into the image must be as loud as the image.
        for linear in (layer.image_to_token.v_proj, layer.image_to_token.out_proj):
            nn.init.xavier_uniform_(linear.weight, gain=WRITE_GAIN)
    for kind in net.prompt_encoder.point_types:
        kind.weight.mul_(0.3)
    net.prompt_encoder.not_a_point.weight.mul_(0.3)
    net.prompt_encoder.no_mask.weight.mul_(0.1)


def _tie(attention: Attention) -> None:
    """Give independent projections an expected match: the same place, the same direction."""
    nn.init.xavier_uniform_(attention.q_proj.weight)
    attention.q_proj.bias.zero_()
    attention.k_proj.weight.copy_(attention.q_proj.weight)
    attention.k_proj.bias.zero_()
    attention.q_proj.weight.mul_(QUERY_GAIN)


def _expect_background(net: Sam2) -> None:
    """Begin with "hardly a pixel belongs to the object": one constant channel that every mask head counts against.

    The decoder has no bias of its own. Without this it first learns one by inflating the image features, and these then
    drown the places of clicks.
    """
    decoder = net.mask_decoder
    decoder.skip4.weight[0] = 0
    decoder.skip4.bias[0] = 0
    decoder.upscale4.weight[:, 0] = 0
    decoder.upscale4.bias[0] = 2.0
    for head in decoder.mask_heads:
        head.layers[-1].weight[0] *= 0.1
        head.layers[-1].bias[0] = BACKGROUND_LOGIT / 2.0


def _localise_memory(net: Sam2) -> None:
    """Memory attention starts as "the same look at about the same place"."""
    encoder = net.memory_encoder
    for block in encoder.fuser:
        block.gamma.fill_(0.1)
    # What reaches the memory of a feature vector, (Cm, C).
    kept = encoder.out_proj.weight.flatten(1) @ encoder.frame_proj.weight.flatten(1)
    back = torch.linalg.pinv(kept, rtol=0.2)
    for layer in net.memory_attention.layers:
        cross = layer.cross_attn
        # A key undoes the memory encoder, then takes the query's projection.
        key = cross.q_proj.weight @ back
        wanted = nn.init.xavier_uniform_(torch.empty_like(key)).norm()
        cross.k_proj.weight.copy_(key * (wanted / key.norm()))
        place = torch.zeros_like(cross.q_proj.bias)
        # Channel pairs turn with x in the first half and with y in the second, the fastest first: (C,) -> two axes.
        half = len(place) // 2
        for start in (0, half):
            place[start : start + half // 4 : 2] = PLACE_GAIN
        cross.q_proj.bias.copy_(place)
        cross.k_proj.bias.copy_(place)


@torch.no_grad()
def calibrate_memory(net: Sam2, images: Tensor) -> None:
    """Let conditioned features begin as the features that the decoder already knows.

    The memory attention ends in a layer norm with unit weights; a decoder trained on single frames has never seen such
    features. Its weight and bias become the channels' own spread and mean, and its layers begin quietly.

    Parameters
    ----------
    net : Sam2
        Changed in place.
    images : Tensor of shape (B, 3, S, S)
        Normalised images.
    """
    tokens = net.encode_image(images).stride16.float().flatten(2).transpose(1, 2)
    normed = nn.functional.layer_norm(tokens, tokens.shape[-1:])
    flat, wanted = normed.flatten(0, 1), tokens.flatten(0, 1)
    spread = flat - flat.mean(0)
    slope = (spread * (wanted - wanted.mean(0))).sum(0) / spread.square().sum(0).clamp(min=1e-6)
    attention = net.memory_attention
    attention.norm.weight.copy_(slope)
    attention.norm.bias.copy_(wanted.mean(0) + net.no_memory[0, 0] - slope * flat.mean(0))
    for layer in attention.layers:
        for linear in (layer.self_attn.out_proj, layer.cross_attn.out_proj, layer.linear2):
            linear.weight.mul_(0.3)
            linear.bias.zero_()


@dataclass(frozen=True, slots=True)
class AttentionTable:
    """Shares of attention at the start: towards places near a click and far from it."""

    click_to_image_near: float
    click_to_image_far: float
    image_to_click_near: float
    image_to_click_far: float
    memory_near: float
    memory_far: float


@torch.no_grad()
def measure(net: Sam2, images: Tensor, points: Tensor) -> AttentionTable:
    """Measure the first decoder layer's and the first memory layer's attention, mean over heads.

    Near: within 0.75 tokens of the click (one token beside, for the memory); far: beyond 3.1 tokens.

    Parameters
    ----------
    net : Sam2
        Not changed.
    images : Tensor of shape (B, 3, S, S)
        Normalised images.
    points : Tensor of shape (B, 2)
        One click an image, (x, y), model pixels.
    """
    layer = net.mask_decoder.transformer.layers[0]
    memory_layer = net.memory_attention.layers[0].cross_attn
    seen: dict[str, tuple[Tensor, ...]] = {}
    handles = [
        layer.token_to_image.register_forward_pre_hook(lambda _, args: seen.update(click=args)),
        layer.image_to_token.register_forward_pre_hook(lambda _, args: seen.update(image=args)),
        memory_layer.register_forward_pre_hook(lambda _, args: seen.update(memory=args)),
    ]
    features = net.encode_image(images)
    labels = torch.ones(len(points), 1, dtype=torch.long, device=points.device)
    net.decode(
        net.without_memory(features.stride16),
        features.stride4,
        features.stride8,
        *net.pad_points(points[:, None], labels),
    )
    _remember_one(net, images, features.stride16)
    for handle in handles:
        handle.remove()
    index = 2 + net.mask_decoder.num_masks  # behind the decoder's own tokens
    stride, grid = net.config.stride, net.config.grid
    distance = _token_distances(points / stride, grid)
    near, far = distance < 0.75, distance > 3.1
    outwards = _weights(layer.token_to_image, *seen["click"][:2])[:, index]
    # Among the prompt tokens alone: the click against the padding.
    inwards = _weights(layer.image_to_token, *seen["image"][:2])[:, :, index]
    own = torch.cat([_token_distances(_cells(grid, points.device), grid)])
    remembered = _rotary_weights(memory_layer, *seen["memory"])
    return AttentionTable(
        click_to_image_near=float((outwards * near).sum(1).mean()),
        click_to_image_far=float((outwards * far).sum(1).mean()),
        image_to_click_near=float(inwards[near].mean()),
        image_to_click_far=float(inwards[far].mean()),
        memory_near=float((remembered * (own < 1.6)).sum(-1).mean()),
        memory_far=float((remembered * (own > 3.1)).sum(-1).mean()),
    )


def _remember_one(net: Sam2, images: Tensor, stride16: Tensor) -> None:
    batch, side = len(images), images.shape[-1]
    mask = torch.zeros(batch, 1, side, side, device=images.device)
    memory = net.encode_memory(stride16, mask, torch.ones(batch, device=images.device))
    row = torch.tensor([0], device=images.device)
    nothing = torch.zeros(batch, 0, net.config.width, device=images.device)
    net.condition(net.begin(stride16), memory[:, None], row, nothing, nothing.new_zeros(0))


def _cells(grid: int, device: torch.device) -> Tensor:
    along = torch.arange(grid, device=device) + 0.5
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _token_distances(points: Tensor, grid: int) -> Tensor:
    """Distances of points (B, 2), in tokens, to the centres of the grid's cells, (B, h*w)."""
    return torch.cdist(points.float(), _cells(grid, points.device))


def _weights(attention: Attention, query: Tensor, key: Tensor) -> Tensor:
    heads = attention.num_heads
    q = attention.q_proj(query).unflatten(-1, (heads, -1)).transpose(1, 2)
    k = attention.k_proj(key).unflatten(-1, (heads, -1)).transpose(1, 2)
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1).mean(1)


def _rotary_weights(
    attention: RotaryAttention,
    query: Tensor,
    key: Tensor,
    _value: Tensor,
    grid: tuple[int, int],
    *_: int,
) -> Tensor:
    q = attention.turned(attention.q_proj, query, grid)
    k = attention.turned(attention.k_proj, key, grid)
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
