"""The memory format of the VAE's convolutions.

With a cache, decoding takes a large part of a generation. On the CPU, oneDNN computes convolutions in channels-last
order (NHWC): with weights in that order the small VAE decodes in three quarters of the time. Results differ by
rounding, so jobs without a cache keep the default order and stay bit-equal to diffusers. On GPUs it was not measured:
they keep it.
"""

from typing import Any

import torch

_IMAGE_CONVOLUTION_DIMENSIONS = 4


def set_vae_format(pipeline: Any, *, is_fast: bool) -> None:
    """Convert the VAE's weights to channels-last order, or back. Their values don't change.

    Weights that are in the wanted order already are not copied.
    """
    wanted = torch.channels_last if is_fast and pipeline.device.type == "cpu" else torch.contiguous_format
    for parameter in pipeline.vae.parameters():
        if parameter.dim() == _IMAGE_CONVOLUTION_DIMENSIONS:
            parameter.data = parameter.data.contiguous(memory_format=wanted)
