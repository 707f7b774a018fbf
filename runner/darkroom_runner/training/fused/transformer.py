"""The output of a U-Net's transformer in the memory format of its residual connection.

Its tokens [b, h w, c] are an image whose channels are last in memory. diffusers copies them to channels first, and the
next convolution back.
"""

from functools import partial
from typing import Any

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel

OUTPUT = "_get_output_for_continuous_inputs"
"""The method that is replaced."""


def can_fuse(module: Any) -> bool:
    """Transformers of images with linear projections, as in SDXL, in float32 on the CPU."""
    return (
        isinstance(module, Transformer2DModel)
        and module.is_input_continuous
        and module.use_linear_projection
        and (module.norm.weight.device.type, module.norm.weight.dtype) == ("cpu", torch.float32)
        and hasattr(module, OUTPUT)
    )


def fuse(transformer: Any) -> None:
    """Let the transformer return its output as it is in memory."""
    setattr(transformer, OUTPUT, partial(_output, transformer))


def _output(
    transformer: Any,
    hidden_states: torch.Tensor,
    residual: torch.Tensor,
    batch_size: int,
    height: int,
    width: int,
    inner_dim: int,
) -> torch.Tensor:
    """Of tokens [b, h w, d] and residual [b, c, h, w]: [b, c, h, w]"""
    tokens = transformer.proj_out(hidden_states)
    image: torch.Tensor = tokens.reshape(batch_size, height, width, -1).permute(0, 3, 1, 2)
    if not residual.is_contiguous(memory_format=torch.channels_last):
        image = image.contiguous()
    return image + residual
