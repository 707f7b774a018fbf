"""A U-Net as a flat list of layers: what the passes in `network` iterate over.

Each encoder layer produces one skip connection, and each decoder layer consumes one, in reverse order. Both kinds of
U-Net (diffusers' `UNet2DConditionModel` and `UNetSpatioTemporalConditionModel`) have this structure.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncoderLayer:
    """A residual block with its transformer, or a downsampler (then `resnet` is None)."""

    resnet: Any
    transformer: Any
    downsampler: Any = None


@dataclass(frozen=True)
class DecoderLayer:
    """A residual block with its transformer, and the upsamplers behind the last one of a block."""

    resnet: Any
    transformer: Any
    upsamplers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Layers:
    """`encoder[i]` produces skip connection `i + 1`; skip connection 0 is the output of the first convolution."""

    encoder: tuple[EncoderLayer, ...]
    decoder: tuple[DecoderLayer, ...]
    first_block: int
    """The number of encoder layers in the first block, without its downsampler."""

    @property
    def branches(self) -> int:
        """The number of skip connections. Branch n recomputes skip connections 0 to n at every pass."""
        return len(self.decoder)


def layers_of(unet: Any) -> Layers:
    return Layers(
        tuple(layer for block in unet.down_blocks for layer in _encoder(block)),
        tuple(layer for block in unet.up_blocks for layer in _decoder(block)),
        len(unet.down_blocks[0].resnets),
    )


def _encoder(block: Any) -> list[EncoderLayer]:
    layers = [EncoderLayer(resnet, transformer) for resnet, transformer in _pairs(block)]
    return layers + [EncoderLayer(None, None, each) for each in block.downsamplers or ()]


def _decoder(block: Any) -> list[DecoderLayer]:
    layers = [DecoderLayer(resnet, transformer) for resnet, transformer in _pairs(block)]
    last = layers[-1]
    return [*layers[:-1], DecoderLayer(last.resnet, last.transformer, tuple(block.upsamplers or ()))]


def _pairs(block: Any) -> list[tuple[Any, Any]]:
    """Residual blocks and their transformers; blocks without attention have none."""
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return list(zip(block.resnets, transformers, strict=True))
