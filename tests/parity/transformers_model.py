"""The `transformers` package's SAM 2 with our weights: a black box for the oracle tests and for the benchmarks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from napari_sam2.model.state_dict import to_official


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


names = _load("transformers_names")


def _sizes(config) -> dict:
    """Describe a preset in the package's words."""
    trunk, side = config.trunk, config.image_size
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [side, side],
        "hidden_size": trunk.embed_dim,
        "num_attention_heads": trunk.num_heads,
        "blocks_per_stage": list(trunk.stages),
        "embed_dim_per_stage": list(trunk.widths),
        "num_attention_heads_per_stage": [trunk.num_heads * 2**stage for stage in range(4)],
        "window_size_per_stage": list(trunk.window_sizes),
        "global_attention_blocks": list(trunk.global_blocks),
        "window_positional_embedding_background_size": [trunk.position_size] * 2,
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": list(reversed(trunk.widths)),
        "backbone_feature_sizes": [[side // stride] * 2 for stride in (4, 8, 16)],
    }
    return {"vision_config": vision, "prompt_encoder_config": {"image_size": side}}


def image_oracle(network):
    from transformers import Sam2Config, Sam2Model

    with torch.device("meta"):
        oracle = Sam2Model(Sam2Config(**_sizes(network.config)))
    # The tensors themselves are shared, so a change to one side's weights changes both.
    state = names.to_transformers(to_official(network.state_dict()))
    kept = {key: value for key, value in state.items() if key in oracle.state_dict()}
    oracle.load_state_dict(kept, strict=True, assign=True)
    return oracle.eval()


def video_settings(config, **limits):
    from transformers import Sam2VideoConfig

    return Sam2VideoConfig(
        **_sizes(config),
        image_size=config.image_size,
        memory_attention_rope_feat_sizes=[config.grid] * 2,
        enable_temporal_pos_encoding_for_object_pointers=config.pointer_time_code,
        enable_occlusion_spatial_embedding=config.absent_memory,
        **limits,
    )


def video_oracle(network, limit: int | None = None):
    from transformers import Sam2VideoModel

    with torch.inference_mode(False):
        oracle = Sam2VideoModel(video_settings(network.config, max_cond_frame_num=limit or -1))
        state = names.to_transformers(to_official(network.state_dict()))
        oracle.load_state_dict(state, strict=True, assign=True)
        return oracle.eval()
