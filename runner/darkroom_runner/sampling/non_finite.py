"""Detects NaN and infinite values in generated images; retries in float32 or fails the run.

Half precision overflows beyond 65,504, in the U-Net or in the VAE (diffusers issue 4325). The pipelines then return
black 8-bit images without an error, so the input and output of the VAE's decoder are checked while it decodes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

from darkroom_contract.remarks import RemarkReason
from darkroom_runner.errors import NonFiniteOutputError, is_out_of_memory
from darkroom_runner.run.remarks import Remarks

Output = TypeVar("Output")

Precisions = dict[tuple[torch.nn.Module, str], torch.dtype]
"""The dtype of each floating-point parameter and buffer, by its module and name."""

_IN_FLOAT32_TOO = "in float32, too"
_QUANTIZED = "and can't be generated again in float32, since the base model is quantized"
_OUT_OF_MEMORY = "in half precision, and memory ran out when it was generated again in float32"


class NonFiniteError(Exception):
    """The U-Net or the VAE returned NaN or infinite values."""


def retry_in_float32(
    pipeline: Any,
    generate: Callable[[], Output],
    what: str,
    remarks: Remarks,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    retry: Callable[[], Output] | None = None,
) -> Output:
    """Call `generate`; if its output is not finite, call it once more with all models in float32.

    `what` begins a sentence, such as "The image of seed 1". `generate` must create a new generator, so that the
    retry has the same seed. `autocast` applies to the first attempt only. `retry` replaces `generate` in the second,
    for example to use less memory.

    Afterwards all weights have their previous dtype and value (float32 can represent every half-precision number), so
    that an image does not depend on those before it. This also holds after an exception inside the decoder, after
    which diffusers would leave an upcast VAE in float32.

    Raises `NonFiniteOutputError` if float32 does not help or does not fit into memory. Adds the remark `DrawnAgain` if
    the retry succeeded.
    """
    with _precisions_kept(pipeline) as precisions:
        try:
            with checked_decoder(pipeline), autocast():
                return generate()
        except NonFiniteError as error:
            if all(dtype == torch.float32 for dtype in precisions.values()):
                raise _failure(what, _IN_FLOAT32_TOO) from error
            if any(getattr(model, "is_quantized", False) for model in _models(pipeline)):
                raise _failure(what, _QUANTIZED) from error
        output = _in_float32(pipeline, retry or generate, what)
    remarks.add(
        RemarkReason.DRAWN_AGAIN,
        f"{what} had NaN or infinite values in half precision. It was generated again in float32 with the same seed.",
    )
    return output


def _in_float32(pipeline: Any, generate: Callable[[], Output], what: str) -> Output:
    """The retry, which takes up to twice the memory of the first attempt. Leaves the pipeline in float32."""
    try:
        for model in _models(pipeline):
            model.to(torch.float32)
        with checked_decoder(pipeline):
            return generate()
    except NonFiniteError as error:
        raise _failure(what, _IN_FLOAT32_TOO) from error
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise _failure(what, _OUT_OF_MEMORY) from error
        raise


def require_finite(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor (any shape) if it is finite. For latents that no VAE decodes, inside `retry_in_float32`."""
    if not torch.isfinite(tensor).all():
        raise NonFiniteError
    return tensor


@contextmanager
def checked_decoder(pipeline: Any) -> Iterator[None]:
    """Check latents and pixels of each VAE decoding, before they are converted to 8-bit numbers."""

    def check(decoder: torch.nn.Module, inputs: tuple[Any, ...], pixels: torch.Tensor) -> None:
        require_finite(inputs[0])
        require_finite(pixels)

    hook = pipeline.vae.decoder.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


def has_finite_weights(pipeline: Any) -> bool:
    """Whether all weights are finite. A weight beyond half precision's range becomes infinite when it is loaded."""
    return bool(torch.stack([torch.isfinite(each).all() for each in _weights(pipeline)]).all())


def _weights(pipeline: Any) -> Iterator[torch.Tensor]:
    for model in _models(pipeline):
        yield from (each for each in model.parameters() if each.is_floating_point())


def _models(pipeline: Any) -> list[torch.nn.Module]:
    return [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]


@contextmanager
def _precisions_kept(pipeline: Any) -> Iterator[Precisions]:
    before = {
        (module, name): tensor.dtype
        for model in _models(pipeline)
        for module in model.modules()
        for name, tensor in _own_tensors(module).items()
    }
    try:
        yield before
    finally:
        # Smallest first: after an out-of-memory error, each conversion frees memory for the next.
        for (module, name), dtype in sorted(
            before.items(), key=lambda each: _own_tensors(each[0][0])[each[0][1]].numel()
        ):
            tensor = _own_tensors(module)[name]
            if tensor.dtype != dtype:
                tensor.data = tensor.data.to(dtype)


def _own_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return {name: tensor for name, tensor in own.items() if tensor.is_floating_point()}


def _failure(what: str, when: str) -> NonFiniteOutputError:
    return NonFiniteOutputError(
        f"{what} had NaN or infinite values {when}. Choose another sampler, more steps or a lower guidance scale; "
        "with a LoRA, lower loraScale or train it again with a lower learning rate."
    )
