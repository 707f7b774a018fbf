"""Small random-weight models with SDXL's and SVD's architectures, as folders that `from_pretrained` reads."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    StableVideoDiffusionPipeline,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

_SEED = 20
_WIDTH = 16
_SAMPLE_SIZE = 8
_TIME_WIDTH = 4


def build_sdxl(folder: Path, prediction_type: str = "v_prediction", width: int = 32, layers_per_block: int = 2) -> None:
    """A pipeline for 64×64 images: latents of 8×8, three levels, attention in the inner two."""
    torch.manual_seed(_SEED)
    tokenizer = _tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(width, layers_per_block),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type=prediction_type,
            timestep_spacing="trailing",
            rescale_betas_zero_snr=prediction_type == "v_prediction",
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)


def build_svd(folder: Path, layers_per_block: int = 2) -> None:
    """A pipeline for 64×64 clips of 4 frames."""
    torch.manual_seed(_SEED)
    pipeline = StableVideoDiffusionPipeline(
        vae=_vae(),
        image_encoder=_image_encoder(),
        unet=_video_unet(layers_per_block),
        scheduler=EulerDiscreteScheduler(prediction_type="v_prediction", use_karras_sigmas=True),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}),
    )
    pipeline.save_pretrained(folder)


def _tokenizer() -> CLIPTokenizer:
    """CLIP's alphabet without merges: one token per character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(code) for code in printable] + [chr(256 + spare) for spare in range(256 - len(printable))]
    words = [*characters, *(f"{each}</w>" for each in characters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=[],
        model_max_length=77,
        pad_token="<|endoftext|>",
    )


def _text_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=_WIDTH,
        intermediate_size=_WIDTH,
        projection_dim=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.13,
    )


def _unet(width: int, layers_per_block: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=_SAMPLE_SIZE,
        block_out_channels=(width, width, 2 * width),
        layers_per_block=layers_per_block,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        use_linear_projection=True,
        cross_attention_dim=2 * _WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=_TIME_WIDTH,
        projection_class_embeddings_input_dim=_WIDTH + 6 * _TIME_WIDTH,
    )


def _image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=_WIDTH,
        intermediate_size=_WIDTH,
        projection_dim=_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=224,
        patch_size=56,
    )
    return CLIPVisionModelWithProjection(config)


def _video_unet(layers_per_block: int) -> UNetSpatioTemporalConditionModel:
    return UNetSpatioTemporalConditionModel(
        sample_size=_SAMPLE_SIZE,
        in_channels=8,
        out_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=layers_per_block,
        num_attention_heads=(2, 4),
        cross_attention_dim=_WIDTH,
        addition_time_embed_dim=_TIME_WIDTH,
        projection_class_embeddings_input_dim=3 * _TIME_WIDTH,
        num_frames=4,
    )
