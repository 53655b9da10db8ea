"""Official tensor name -> name in the `transformers` package's SAM 2, written by hand from both lists of names.

Only the oracle test reads this. The package is a black box there: names, shapes and answers are all we know of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# `#` stands for a number. The first row that matches the start of a name is applied.
_HEADS: tuple[tuple[str, str], ...] = (
    ("image_encoder.trunk.patch_embed.proj.", "vision_encoder.backbone.patch_embed.projection."),
    ("image_encoder.trunk.", "vision_encoder.backbone."),
    ("image_encoder.neck.convs.#.conv.", "vision_encoder.neck.convs.#."),
    (
        "memory_encoder.mask_downsampler.encoder.0.",
        "memory_encoder.mask_downsampler.layers.0.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.1.",
        "memory_encoder.mask_downsampler.layers.0.norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.3.",
        "memory_encoder.mask_downsampler.layers.1.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.4.",
        "memory_encoder.mask_downsampler.layers.1.norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.6.",
        "memory_encoder.mask_downsampler.layers.2.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.7.",
        "memory_encoder.mask_downsampler.layers.2.norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.9.",
        "memory_encoder.mask_downsampler.layers.3.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.10.",
        "memory_encoder.mask_downsampler.layers.3.norm.",
    ),
    ("memory_encoder.mask_downsampler.encoder.12.", "memory_encoder.mask_downsampler.final_conv."),
    ("memory_encoder.pix_feat_proj.", "memory_encoder.feature_projection."),
    ("memory_encoder.fuser.", "memory_encoder.memory_fuser."),
    ("memory_encoder.out_proj.", "memory_encoder.projection."),
    ("sam_prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("sam_prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.norm1."),
    ("sam_prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("sam_prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.norm2."),
    ("sam_prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
    ("sam_prompt_encoder.", "prompt_encoder."),
    ("sam_mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("sam_mask_decoder.output_upscaling.1.", "mask_decoder.upscale_norm."),
    ("sam_mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
    ("sam_mask_decoder.transformer.norm_final_attn.", "mask_decoder.transformer.norm_final_attn."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("obj_ptr_proj.", "object_pointer_proj."),
    ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer."),
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
)
# Then all of these are, wherever they stand.
_INNER: tuple[tuple[str, str], ...] = (
    (".mlp.layers.0.", ".mlp.proj_in."),
    (".mlp.layers.1.", ".mlp.proj_out."),
    (".dwconv.", ".depthwise_conv."),
    (".pwconv", ".pointwise_conv"),
    (".gamma", ".scale"),
    (".out_proj.", ".o_proj."),
    (".norm", ".layer_norm"),
    (".upscale_norm.", ".upscale_layer_norm."),
)
# Networks of three linear layers; those of two have rows above.
_MLPS = re.compile(
    r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)"
    r"|object_pointer_proj)\.layers\.([012])\."
)
_MLP_LAYERS = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}

_GAUSSIAN = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_POINTS = tuple(f"sam_prompt_encoder.point_embeddings.{kind}.weight" for kind in range(4))


def transformers_name(official: str) -> str:
    """Return the name of a tensor that both sides have one to one."""
    name = official
    for head, replacement in _HEADS:
        pattern = "^" + re.escape(head).replace(r"\#", r"(\d+)")
        name, count = re.subn(pattern, replacement.replace("#", r"\1"), official)
        if count:
            break
    name = _MLPS.sub(lambda match: f"{match[1]}.{_MLP_LAYERS[match[2]]}.", name)
    for inner, replacement in _INNER:
        name = name.replace(inner, replacement)
    return name


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate an official state dict. Two things are not one to one.

    The random matrix of the position code is kept twice there, and the four kinds of points are the rows of one table.
    """
    single = {key: value for key, value in state.items() if key not in (_GAUSSIAN, *_POINTS)}
    translated = {transformers_name(key): value for key, value in single.items()}
    translated["shared_image_embedding.positional_embedding"] = state[_GAUSSIAN]
    translated["prompt_encoder.shared_embedding.positional_embedding"] = state[_GAUSSIAN]
    translated["prompt_encoder.point_embed.weight"] = torch.cat([state[key] for key in _POINTS])
    return translated
