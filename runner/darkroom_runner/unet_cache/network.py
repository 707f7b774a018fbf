"""A forward pass of SDXL's and SVD's U-Net in three explicit parts: outer, deep and finish.

    outer   the first convolution and the encoder layers outside a branch: cheap, runs at every pass
    deep    the rest of the encoder, the middle block, and the decoder up to the branch: nearly all of the work
    finish  the decoder layers outside the branch and the last convolution: cheap, runs at every pass

A full pass runs all three, and its result is bit-equal to diffusers' own `forward`. A shallow pass runs the outer part
and finishes from a deep feature of earlier passes. All parts are functions of tensors of constant shapes. They call
the U-Net's own modules, so that LoRAs take effect, and modify none of them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch

from darkroom_runner.unet_cache.attention import PromptAttention
from darkroom_runner.unet_cache.layers import DecoderLayer, EncoderLayer, layers_of


@dataclass(frozen=True)
class Inputs:
    """What all parts of one pass read. The first dimension is images, with guidance twice: negative prompts first. Of
    clips it is frames."""

    latents: torch.Tensor
    """[n, c, h, w]."""
    embedding: torch.Tensor
    """Of the timestep and the other conditions: [n, width]."""
    context: torch.Tensor
    """Embeddings of the prompt or the start image: [n, tokens, width]."""
    image_only: torch.Tensor | None = None
    """Of SVD, zeros [clips, frames]: all inputs are clips."""

    def conditional(self) -> "Inputs":
        """The second half: the inputs with the prompt."""
        half = len(self.latents) // 2
        return replace(
            self,
            latents=self.latents[half:],
            embedding=self.embedding[half:],
            context=self.context[half:],
            image_only=None if self.image_only is None else self.image_only[len(self.image_only) // 2 :],
        )


class Network(ABC):
    """The passes of one U-Net during one generation."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.layers = layers_of(unet)

    @abstractmethod
    def inputs(self, *arguments: Any, **conditions: Any) -> Inputs:
        """The arguments of diffusers' `forward`, from `sample` and `timestep` on, as inputs of the three parts."""

    @abstractmethod
    def output(self, predicted: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """A prediction in the shape of diffusers' own, for the `sample` that the U-Net was called with."""

    @abstractmethod
    def _resnet(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor: ...

    @abstractmethod
    def _transformer(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor: ...

    @abstractmethod
    def _middle(self, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor: ...

    def outer(self, inputs: Inputs, branch: int) -> list[torch.Tensor]:
        """Skip connections 0 to `branch`, from outermost to deepest."""
        hidden = self.unet.conv_in(inputs.latents)
        skips = [hidden]
        for layer in self.layers.encoder[:branch]:
            hidden = self._encode(layer, hidden, inputs)
            skips.append(hidden)
        return skips

    def deep(self, inputs: Inputs, skips: list[torch.Tensor], branch: int) -> torch.Tensor:
        """The hidden states that the first decoder layer outside `branch` receives. `skips` are of `outer`."""
        start = len(skips) - 1
        hidden = skips[-1]
        inner = list(skips)
        for layer in self.layers.encoder[start:]:
            hidden = self._encode(layer, hidden, inputs)
            inner.append(hidden)
        hidden = self._middle(hidden, inputs)
        for index in range(self.layers.branches - 1 - branch):
            hidden = self._decode(index, hidden, inner, inputs)
        return hidden

    def finish(self, inputs: Inputs, skips: list[torch.Tensor], feature: torch.Tensor) -> torch.Tensor:
        """The prediction from a deep feature and the skip connections of `outer`: [n, c, h, w]."""
        hidden, outer = feature, list(skips)
        for index in range(self.layers.branches - len(skips), self.layers.branches):
            hidden = self._decode(index, hidden, outer, inputs)
        unet = self.unet
        predicted: torch.Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
        return predicted

    def _encode(self, layer: EncoderLayer, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        if layer.resnet is None:
            downsampled: torch.Tensor = layer.downsampler(hidden)
            return downsampled
        return self._residual_and_transformer(layer, hidden, inputs)

    def _decode(self, index: int, hidden: torch.Tensor, skips: list[torch.Tensor], inputs: Inputs) -> torch.Tensor:
        """Consumes the last of `skips`."""
        layer = self.layers.decoder[index]
        hidden = torch.cat([hidden, skips.pop()], dim=1)
        hidden = self._residual_and_transformer(layer, hidden, inputs)
        for upsampler in layer.upsamplers:
            # Sizes that can't be halved evenly need the exact size; for others it is diffusers' default.
            size = skips[-1].shape[2:] if skips else None
            exact = size is None or tuple(size) == tuple(2 * side for side in hidden.shape[2:])
            hidden = upsampler(hidden, None if exact else size)
        return hidden

    def _residual_and_transformer(
        self, layer: EncoderLayer | DecoderLayer, hidden: torch.Tensor, inputs: Inputs
    ) -> torch.Tensor:
        hidden = self._resnet(layer.resnet, hidden, inputs)
        return hidden if layer.transformer is None else self._transformer(layer.transformer, hidden, inputs)


class ImageNetwork(Network):
    """SDXL's `UNet2DConditionModel`."""

    def __init__(self, unet: Any) -> None:
        super().__init__(unet)
        self.attention = PromptAttention()
        self._added: tuple[torch.Tensor, torch.Tensor] | None = None
        """The pooled prompt embeddings, and the embedding that they and the sizes add to the timestep's."""

    def inputs(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: dict[str, torch.Tensor],
        timestep_cond: torch.Tensor | None = None,
        cross_attention_kwargs: None = None,
    ) -> Inputs:
        if cross_attention_kwargs is not None:
            raise TypeError("the U-Net cache takes no cross_attention_kwargs: set LoRA scales with set_adapters()")
        unet = self.unet
        embedding = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep), timestep_cond)
        embedding = embedding + self._added_embedding(embedding, encoder_hidden_states, added_cond_kwargs)
        return Inputs(sample, embedding, encoder_hidden_states)

    def output(self, predicted: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        return predicted

    def _added_embedding(
        self, embedding: torch.Tensor, context: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Constant during a generation: computed at the first pass."""
        pooled = added["text_embeds"]
        if self._added is None or self._added[0] is not pooled:
            computed = self.unet.get_aug_embed(emb=embedding, encoder_hidden_states=context, added_cond_kwargs=added)
            self._added = pooled, computed
        return self._added[1]

    def _resnet(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        result: torch.Tensor = module(hidden, inputs.embedding)
        return result

    def _transformer(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        return self.attention.transform(module, hidden, inputs.context)

    def _middle(self, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        block = self.unet.mid_block
        hidden = self._resnet(block.resnets[0], hidden, inputs)
        for transformer, resnet in zip(block.attentions, block.resnets[1:], strict=True):
            hidden = self._resnet(resnet, self._transformer(transformer, hidden, inputs), inputs)
        return hidden


class ClipNetwork(Network):
    """SVD's `UNetSpatioTemporalConditionModel`."""

    def inputs(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
    ) -> Inputs:
        unet = self.unet
        clips, frames = sample.shape[:2]
        projected = unet.time_proj(timestep.reshape(1).to(sample.device).expand(clips)).to(sample.dtype)
        embedding = unet.time_embedding(projected)
        ids = unet.add_time_proj(added_time_ids.flatten()).reshape((clips, -1)).to(embedding.dtype)
        embedding = embedding + unet.add_embedding(ids)
        return Inputs(
            sample.flatten(0, 1),
            embedding.repeat_interleave(frames, dim=0),
            encoder_hidden_states.repeat_interleave(frames, dim=0),
            torch.zeros(clips, frames, dtype=sample.dtype, device=sample.device),
        )

    def output(self, predicted: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        return predicted.reshape(*sample.shape[:2], *predicted.shape[1:])

    def _resnet(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        result: torch.Tensor = module(hidden, inputs.embedding, image_only_indicator=inputs.image_only)
        return result

    def _transformer(self, module: Any, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        result: torch.Tensor = module(
            hidden, encoder_hidden_states=inputs.context, image_only_indicator=inputs.image_only, return_dict=False
        )[0]
        return result

    def _middle(self, hidden: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        result: torch.Tensor = self.unet.mid_block(
            hidden_states=hidden,
            temb=inputs.embedding,
            encoder_hidden_states=inputs.context,
            image_only_indicator=inputs.image_only,
        )
        return result
