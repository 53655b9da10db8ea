"""Names and shapes of tensors: ours and the official ones, for every preset. Nothing is allocated."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from napari_sam2.model.config import PRESETS, preset
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import official_key, to_official, to_ours

# The official files: tensors, and parameters without the one buffer.
PUBLISHED = {
    "sam2_tiny": (468, 38_945_986),
    "sam2_small": (516, 46_043_842),
    "sam2_base_plus": (612, 80_833_666),
    "sam2_large": (900, 224_430_130),
    "sam2.1_tiny": (471, 38_962_498),
    "sam2.1_small": (519, 46_060_354),
    "sam2.1_base_plus": (615, 80_850_178),
    "sam2.1_large": (903, 224_446_642),
}
BUFFER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"

LAYER = "memory_attention.layers.3"
TWO_WAY = "sam_mask_decoder.transformer"
TINY_SHAPES = {
    "maskmem_tpos_enc": (7, 1, 1, 64),
    "no_mem_embed": (1, 1, 256),
    "no_mem_pos_enc": (1, 1, 256),
    "no_obj_ptr": (1, 256),
    "no_obj_embed_spatial": (1, 64),
    "mask_downsample.weight": (1, 1, 4, 4),
    "mask_downsample.bias": (1,),
    "obj_ptr_proj.layers.2.weight": (256, 256),
    "obj_ptr_tpos_proj.weight": (64, 256),
    "obj_ptr_tpos_proj.bias": (64,),
    "image_encoder.trunk.patch_embed.proj.weight": (96, 3, 7, 7),
    "image_encoder.trunk.pos_embed": (1, 96, 7, 7),
    "image_encoder.trunk.pos_embed_window": (1, 96, 8, 8),
    "image_encoder.trunk.blocks.0.attn.qkv.weight": (288, 96),
    "image_encoder.trunk.blocks.1.norm1.weight": (96,),
    "image_encoder.trunk.blocks.1.norm2.weight": (192,),
    "image_encoder.trunk.blocks.1.attn.qkv.weight": (576, 96),
    "image_encoder.trunk.blocks.1.proj.weight": (192, 96),
    "image_encoder.trunk.blocks.3.attn.proj.weight": (384, 384),
    "image_encoder.trunk.blocks.9.mlp.layers.0.weight": (1536, 384),
    "image_encoder.trunk.blocks.10.proj.weight": (768, 384),
    "image_encoder.trunk.blocks.11.mlp.layers.1.weight": (768, 3072),
    "image_encoder.neck.convs.0.conv.weight": (256, 768, 1, 1),
    "image_encoder.neck.convs.3.conv.weight": (256, 96, 1, 1),
    f"{LAYER}.self_attn.k_proj.weight": (256, 256),
    f"{LAYER}.cross_attn_image.q_proj.weight": (256, 256),
    f"{LAYER}.cross_attn_image.k_proj.weight": (256, 64),
    f"{LAYER}.cross_attn_image.v_proj.weight": (256, 64),
    f"{LAYER}.linear1.weight": (2048, 256),
    f"{LAYER}.linear2.weight": (256, 2048),
    f"{LAYER}.norm3.bias": (256,),
    "memory_attention.norm.weight": (256,),
    "memory_encoder.mask_downsampler.encoder.0.weight": (4, 1, 3, 3),
    "memory_encoder.mask_downsampler.encoder.9.weight": (256, 64, 3, 3),
    "memory_encoder.mask_downsampler.encoder.10.bias": (256,),
    "memory_encoder.mask_downsampler.encoder.12.weight": (256, 256, 1, 1),
    "memory_encoder.pix_feat_proj.weight": (256, 256, 1, 1),
    "memory_encoder.fuser.layers.1.gamma": (256,),
    "memory_encoder.fuser.layers.1.dwconv.weight": (256, 1, 7, 7),
    "memory_encoder.fuser.layers.1.norm.weight": (256,),
    "memory_encoder.fuser.layers.1.pwconv1.weight": (1024, 256),
    "memory_encoder.fuser.layers.1.pwconv2.weight": (256, 1024),
    "memory_encoder.out_proj.weight": (64, 256, 1, 1),
    BUFFER: (2, 128),
    "sam_prompt_encoder.point_embeddings.3.weight": (1, 256),
    "sam_prompt_encoder.not_a_point_embed.weight": (1, 256),
    "sam_prompt_encoder.mask_downscaling.0.weight": (4, 1, 2, 2),
    "sam_prompt_encoder.mask_downscaling.1.weight": (4,),
    "sam_prompt_encoder.mask_downscaling.3.weight": (16, 4, 2, 2),
    "sam_prompt_encoder.mask_downscaling.4.weight": (16,),
    "sam_prompt_encoder.mask_downscaling.6.weight": (256, 16, 1, 1),
    "sam_prompt_encoder.no_mask_embed.weight": (1, 256),
    f"{TWO_WAY}.layers.1.self_attn.q_proj.weight": (256, 256),
    f"{TWO_WAY}.layers.1.cross_attn_token_to_image.q_proj.weight": (128, 256),
    f"{TWO_WAY}.layers.1.cross_attn_image_to_token.out_proj.weight": (256, 128),
    f"{TWO_WAY}.layers.1.norm4.weight": (256,),
    f"{TWO_WAY}.layers.1.mlp.layers.0.weight": (2048, 256),
    f"{TWO_WAY}.final_attn_token_to_image.v_proj.weight": (128, 256),
    f"{TWO_WAY}.norm_final_attn.weight": (256,),
    "sam_mask_decoder.iou_token.weight": (1, 256),
    "sam_mask_decoder.mask_tokens.weight": (4, 256),
    "sam_mask_decoder.obj_score_token.weight": (1, 256),
    "sam_mask_decoder.output_upscaling.0.weight": (256, 64, 2, 2),
    "sam_mask_decoder.output_upscaling.1.weight": (64,),
    "sam_mask_decoder.output_upscaling.3.weight": (64, 32, 2, 2),
    "sam_mask_decoder.conv_s0.weight": (32, 256, 1, 1),
    "sam_mask_decoder.conv_s1.weight": (64, 256, 1, 1),
    "sam_mask_decoder.output_hypernetworks_mlps.3.layers.2.weight": (32, 256),
    "sam_mask_decoder.iou_prediction_head.layers.2.weight": (4, 256),
    "sam_mask_decoder.pred_obj_score_head.layers.2.weight": (1, 256),
}


@cache
def network(name: str) -> Sam2:
    with torch.device("meta"):
        return Sam2(preset(name))


@pytest.mark.parametrize("name", PRESETS)
def test_names_translate_one_to_one_and_back(name) -> None:
    ours = network(name).state_dict()
    official = to_official(ours)
    assert len(official) == len(ours)
    back = to_ours(official)
    assert list(back) == list(ours)
    assert all(back[key] is ours[key] for key in ours)


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_and_parameters_are_as_many_as_in_the_official_file(name) -> None:
    made = network(name)
    num_parameters = sum(parameter.numel() for parameter in made.parameters())
    assert (len(made.state_dict()), num_parameters) == PUBLISHED[name]
    buffers = to_official(dict(made.named_buffers()))
    assert list(buffers) == [BUFFER]


def test_every_official_preset_is_counted() -> None:
    assert set(PRESETS) == {"nano", *PUBLISHED}


def test_named_tensors_of_tiny_have_the_official_shapes() -> None:
    state = to_official(network("sam2.1_tiny").state_dict())
    assert {key: tuple(state[key].shape) for key in TINY_SHAPES} == TINY_SHAPES


def test_only_blocks_that_change_the_width_have_a_projection() -> None:
    state = to_official(network("sam2.1_tiny").state_dict())
    trunk = "image_encoder.trunk.blocks."
    found = [key for key in state if key.startswith(trunk) and key.split(".")[4] == "proj"]
    assert sorted({int(key.split(".")[3]) for key in found}) == [1, 3, 10]


@pytest.mark.parametrize("size", ["tiny", "small", "base_plus", "large"])
def test_version_2_1_has_exactly_three_more_tensors(size) -> None:
    old, new = (set(network(f"{version}_{size}").state_dict()) for version in ("sam2", "sam2.1"))
    assert not old - new
    assert {official_key(key) for key in new - old} == {
        "no_obj_embed_spatial",
        "obj_ptr_tpos_proj.weight",
        "obj_ptr_tpos_proj.bias",
    }


def test_a_name_of_ours_without_a_row_is_an_error() -> None:
    with pytest.raises(KeyError, match="made_up"):
        official_key("made_up.weight")


def test_a_foreign_name_stays_so_that_it_is_reported_as_unexpected() -> None:
    assert to_ours({"made_up.weight": 1}) == {"made_up.weight": 1}


def test_an_unknown_preset_lists_the_choices() -> None:
    with pytest.raises(ValueError, match=r"sam2\.1_base_plus") as raised:
        preset("huge")
    assert "'huge'" in str(raised.value)


def test_nano_is_small() -> None:
    num_parameters = sum(parameter.numel() for parameter in network("nano").parameters())
    assert num_parameters < 5_000_000
