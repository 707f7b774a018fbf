"""Estimates the memory of a training step."""

from typing import Any

import torch

from darkroom_runner.models.device import Device

_TRANSFORMER_COPIES = 28
"""Activations that a transformer layer keeps for the backward pass, in units of its input: 1 to 2 for each of three
norms and residuals, 4 for each attention, 12 for the feed-forward layer with its gate. LoRA's own are small."""

_RESNET_COPIES = 6
"""The same for a residual block: the inputs of two norms, two activations and, above, the skip connection."""

_STATE_COPIES = 4
"""A trained parameter with its gradient and AdamW's two moments."""

_MARGIN = {"cuda": 2.0, "cpu": 1.25}
"""Factor on the estimate. CUDA: autocast keeps norms in float32 and copies of inputs; not measured on a card."""


def step_bytes(unet: Any, latent_shape: tuple[int, int], samples: int, device: Device) -> int:
    """Bytes of one step without gradient checkpointing, in addition to the base model.

    `latent_shape` is height and width; `samples` counts photos and class images of a forward pass.
    """
    element_bytes = torch.empty((), dtype=device.training_dtype).element_size()
    activations = samples * activation_elements(unet.config, latent_shape) * element_bytes
    trained = sum(each.numel() for each in unet.parameters() if each.requires_grad)
    margin = _MARGIN[device.torch_device.type]
    return int(activations * margin) + _STATE_COPIES * 4 * trained


def activation_elements(config: Any, latent_shape: tuple[int, int]) -> int:
    """Numbers that a U-Net keeps of one sample for the backward pass."""
    channels, levels = config.block_out_channels, len(config.block_out_channels)
    resnets = _per_level(config.layers_per_block, levels)
    transformers = _per_level(config.transformer_layers_per_block, levels)
    total = 0
    for level, width in enumerate(channels):
        size = width * (latent_shape[0] >> level) * (latent_shape[1] >> level)
        blocks = 2 * resnets[level] + 1  # down, and up with one more
        with_attention = "CrossAttn" in config.down_block_types[level]
        layers = blocks * transformers[level] if with_attention else 0
        if level == levels - 1:  # the middle block
            blocks, layers = blocks + 2, layers + transformers[level]
        total += size * (_RESNET_COPIES * blocks + _TRANSFORMER_COPIES * layers)
    return total


def _per_level(value: Any, levels: int) -> list[int]:
    return [value] * levels if isinstance(value, int) else list(value)
