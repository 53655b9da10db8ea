"""Names of tensors: official key <-> ours, from one table that is read both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

# (official, ours); `#` stands for a number. The first pattern that matches the start of a key translates that part,
# and the rest is looked up in the group's own table.
_PREFIXES: tuple[tuple[str, str], ...] = (
    ("image_encoder.trunk.patch_embed.proj.", "trunk.patch."),
    ("image_encoder.trunk.pos_embed_window", "trunk.window_position"),
    ("image_encoder.trunk.pos_embed", "trunk.position"),
    ("image_encoder.trunk.", "trunk."),
    ("image_encoder.neck.convs.#.conv.", "neck.laterals.#."),
    ("memory_attention.layers.#.cross_attn_image.", "memory_attention.layers.#.cross_attn."),
    ("memory_attention.", "memory_attention."),
    ("memory_encoder.mask_downsampler.encoder.", "memory_encoder.mask_layers."),
    ("memory_encoder.pix_feat_proj.", "memory_encoder.frame_proj."),
    ("memory_encoder.fuser.layers.#.dwconv.", "memory_encoder.fuser.#.depthwise."),
    ("memory_encoder.fuser.layers.#.pwconv1.", "memory_encoder.fuser.#.expand."),
    ("memory_encoder.fuser.layers.#.pwconv2.", "memory_encoder.fuser.#.contract."),
    ("memory_encoder.fuser.layers.#.", "memory_encoder.fuser.#."),
    ("memory_encoder.out_proj.", "memory_encoder.out_proj."),
    (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.fourier.matrix",
    ),
    ("sam_prompt_encoder.point_embeddings.", "prompt_encoder.point_types."),
    ("sam_prompt_encoder.not_a_point_embed.", "prompt_encoder.not_a_point."),
    ("sam_prompt_encoder.mask_downscaling.", "prompt_encoder.mask_layers."),
    ("sam_prompt_encoder.no_mask_embed.", "prompt_encoder.no_mask."),
    (
        "sam_mask_decoder.transformer.layers.#.cross_attn_token_to_image.",
        "mask_decoder.transformer.layers.#.token_to_image.",
    ),
    (
        "sam_mask_decoder.transformer.layers.#.cross_attn_image_to_token.",
        "mask_decoder.transformer.layers.#.image_to_token.",
    ),
    (
        "sam_mask_decoder.transformer.final_attn_token_to_image.",
        "mask_decoder.transformer.final_token_to_image.",
    ),
    ("sam_mask_decoder.transformer.norm_final_attn.", "mask_decoder.transformer.final_norm."),
    ("sam_mask_decoder.transformer.", "mask_decoder.transformer."),
    ("sam_mask_decoder.obj_score_token.", "mask_decoder.object_token."),
    ("sam_mask_decoder.iou_token.", "mask_decoder.iou_token."),
    ("sam_mask_decoder.mask_tokens.", "mask_decoder.mask_tokens."),
    ("sam_mask_decoder.conv_s0.", "mask_decoder.skip4."),
    ("sam_mask_decoder.conv_s1.", "mask_decoder.skip8."),
    ("sam_mask_decoder.output_upscaling.0.", "mask_decoder.upscale8."),
    ("sam_mask_decoder.output_upscaling.1.", "mask_decoder.upscale_norm."),
    ("sam_mask_decoder.output_upscaling.3.", "mask_decoder.upscale4."),
    ("sam_mask_decoder.output_hypernetworks_mlps.", "mask_decoder.mask_heads."),
    ("sam_mask_decoder.iou_prediction_head.", "mask_decoder.iou_head."),
    ("sam_mask_decoder.pred_obj_score_head.", "mask_decoder.object_head."),
    ("obj_ptr_proj.", "pointer_head."),
    ("obj_ptr_tpos_proj.", "pointer_time."),
    ("mask_downsample.", "mask_to_prompt."),
    ("maskmem_tpos_enc", "memory_time"),
    ("no_mem_embed", "no_memory"),
    ("no_mem_pos_enc", "no_memory_position"),
    ("no_obj_ptr", "absent_pointer"),
    ("no_obj_embed_spatial", "absent_memory"),
)


def _rules(source: int, target: int) -> list[tuple[re.Pattern[str], str]]:
    """Compile one direction; longer patterns first, so that the most special one wins."""
    pairs = sorted(((row[source], row[target]) for row in _PREFIXES), key=lambda p: -len(p[0]))
    rules = []
    for pattern, replacement in pairs:
        end = "" if pattern.endswith(".") else "$"
        expression = re.escape(pattern).replace(r"\#", r"(\d+)") + end
        rules.append((re.compile(expression), replacement.replace("#", r"\1")))
    return rules


_TO_OURS, _TO_OFFICIAL = _rules(0, 1), _rules(1, 0)


def _rename(key: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, replacement in rules:
        match = pattern.match(key)
        if match:
            return match.expand(replacement) + key[match.end() :]
    return None


def official_key(ours: str) -> str:
    """Return the official name of one of our tensors.

    Raises
    ------
    KeyError
        If the table has no row for it.
    """
    name = _rename(ours, _TO_OFFICIAL)
    if name is None:
        raise KeyError(ours)
    return name


def to_ours(state: Mapping[str, Value]) -> dict[str, Value]:
    """Translate official names; a name that is not in the table stays, to be reported as unexpected."""
    return {_rename(key, _TO_OURS) or key: value for key, value in state.items()}


def to_official(state: Mapping[str, Value]) -> dict[str, Value]:
    """Translate our names into official ones."""
    return {official_key(key): value for key, value in state.items()}
