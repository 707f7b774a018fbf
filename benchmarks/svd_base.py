"""SVD-XT at its real size with random weights, for measuring speed, which does not depend on their values.

The configuration is that of the published files, most of which are diffusers' defaults.
Source: https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt (unet, vae, image_encoder, scheduler)
"""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

UNET = {
    "sample_size": 96,
    "block_out_channels": (320, 640, 1280, 1280),
    "num_attention_heads": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 768,
    "num_frames": 25,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}
IMAGE_ENCODER = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_type": "continuous",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def build_video_pipeline(torch_device: torch.device) -> Any:
    """The pipeline in half precision, created on the device."""
    torch.manual_seed(0)
    with torch_device:
        models = {
            "unet": UNetSpatioTemporalConditionModel(**UNET),
            "vae": AutoencoderKLTemporalDecoder(**VAE),
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**IMAGE_ENCODER)),
        }
    pipeline = StableVideoDiffusionPipeline(
        **{name: model.half().eval() for name, model in models.items()},
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch_device)
