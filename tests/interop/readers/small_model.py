"""The small SDXL of the tests, and what it computes. Runs in every environment: uses diffusers and transformers only.

No tokenizer and no pipeline call: their files and defaults differ between releases, the models do not.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

TOKENS = [[254, 5, 42, 17, 99, 3, 77, 255]]


def load_pipeline(folder: Path) -> Any:
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        tokenizer=None,
        tokenizer_2=None,
        unet=UNet2DConditionModel.from_pretrained(folder / "unet"),
        scheduler=EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        add_watermarker=False,
    )


@torch.no_grad()
def outputs(pipeline: Any) -> dict[str, torch.Tensor]:
    """What both text encoders and the U-Net compute of fixed inputs. Each sees what the encoders make of a prompt."""
    models = (pipeline.text_encoder, pipeline.text_encoder_2, pipeline.unet)
    for model in models:
        model.eval()
    tokens = torch.tensor(TOKENS)
    first = pipeline.text_encoder(tokens, output_hidden_states=True)
    second = pipeline.text_encoder_2(tokens, output_hidden_states=True)
    hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    conditions = {"text_embeds": second[0], "time_ids": torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])}
    prediction = pipeline.unet(latents, 501, hidden, added_cond_kwargs=conditions).sample
    return {"hidden": hidden.contiguous(), "pooled": second[0].contiguous(), "prediction": prediction.contiguous()}


@torch.no_grad()
def randomize(model: Any) -> None:
    """Give adapters that start without effect one: matrices and cores of small random values, other magnitudes."""
    random = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if "magnitude" in name or "dora_scale" in name:
            parameter *= 1 + 0.1 * torch.rand(parameter.shape, generator=random)
        elif "lora_" in name or "lokr_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.15)
        elif "hada_" in name:  # products of four
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.4)
