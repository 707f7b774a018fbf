"""The small networks: the classes of SDXL and SVD with small dimensions.

The VAE downsamples by 8, as in the full-size models: 128 px become 16×16 latents.
"""

from diffusers import AutoencoderKL, UNet2DConditionModel, UNetSpatioTemporalConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

SIDE_PX = 128
LATENT_SIDE = SIDE_PX // 8
LATENT_CHANNELS = 4
TEXT_WIDTH = 64
TIME_ID_WIDTH = 16
TIME_IDS = 6
"""Height and width of original size, crop corner and target size: SDXL's micro-conditioning (arXiv 2307.01952)."""

FRAMES = 8
VIDEO_IDS = 3
"""Frame rate minus one, motion bucket, and noise augmentation strength: SVD's conditioning (arXiv 2311.15127)."""
IMAGE_ENCODER_SIDE_PX = 224


def build_vae() -> AutoencoderKL:
    """One normalisation group: with more, flat areas lose their mean and therefore their colour."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=SIDE_PX,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def build_unet() -> UNet2DConditionModel:
    """Two layers per level, as in SDXL, so that DeepCache skips most of the computation."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 96),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 1),
        attention_head_dim=(2, 2, 3),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=TEXT_WIDTH + TIME_IDS * TIME_ID_WIDTH,
        cross_attention_dim=2 * TEXT_WIDTH,
        norm_num_groups=8,
    )


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config), CLIPTextModelWithProjection(config)


def build_video_unet() -> UNetSpatioTemporalConditionModel:
    """The input has the noisy latents and the picture's latents, so twice as many channels as the output.

    Its class always normalises in 32 groups: with 32 channels each channel would lose its mean.
    """
    return UNetSpatioTemporalConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 64, 64),
        layers_per_block=1,
        down_block_types=(
            "DownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
        ),
        up_block_types=("CrossAttnUpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        num_attention_heads=(2, 2, 2),
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=VIDEO_IDS * TIME_ID_WIDTH,
        cross_attention_dim=TEXT_WIDTH,
        num_frames=FRAMES,
    )


def build_image_encoder() -> CLIPVisionModelWithProjection:
    """224 px, because the pipeline scales every picture to this size."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=IMAGE_ENCODER_SIDE_PX,
            patch_size=32,
        )
    )
