"""Pictures of numbers: NaN and infinity are drawn again in float32, or fail the run. Called where pictures are made.

Half precision overflows beyond 65,504, in the U-Net or in the VAE (diffusers issue 4325). The pipelines turn what comes
of it into black 8-bit pictures without an error; so the VAE's decoder is watched while it decodes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

from darkroom_contract.remarks import RemarkReason
from darkroom_runner.errors import NonFiniteOutputError, is_out_of_memory
from darkroom_runner.remarks import Remarks

Drawn = TypeVar("Drawn")

Precisions = dict[tuple[torch.nn.Module, str], torch.dtype]
"""The dtype of each floating-point parameter and buffer, by its module and name."""


class _NonFiniteError(Exception):
    """NaN or infinity came out of the U-Net or the VAE."""


def draw_finite(
    pipeline: Any,
    draw: Callable[[], Drawn],
    what: str,
    remarks: Remarks,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    redraw: Callable[[], Drawn] | None = None,
) -> Drawn:
    """What `draw` draws with the pipeline; when that is not finite, once more with every model in float32.

    `what` begins a sentence, such as "Picture 1". `draw` must begin with a fresh generator, so that the second attempt
    has the same seed; `autocast` holds for the first attempt only. `redraw`, where given, is the second attempt: it may
    take less memory. Afterwards every weight has its dtype back, exactly (float32 holds all values of half precision):
    so a picture does not depend on those before it. Also an exception inside the decoder, after which diffusers leaves
    an upcast VAE in float32, leaves the pipeline as it was.
    Raises `NonFiniteOutputError` when float32 does not help or does not fit. Adds `DrawnAgain` when it helped.
    """
    with _precisions_kept(pipeline) as precisions:
        try:
            with watched(pipeline), autocast():
                return draw()
        except _NonFiniteError as error:
            if all(dtype == torch.float32 for dtype in precisions.values()):
                raise _failure(what, _NEVER_FINITE) from error
        drawn = _in_float32(pipeline, redraw or draw, what)
    remarks.add(
        RemarkReason.DRAWN_AGAIN,
        f"{what} came out as NaN or infinite values in half precision. Drawn again in float32, same seed.",
    )
    return drawn


def _in_float32(pipeline: Any, draw: Callable[[], Drawn], what: str) -> Drawn:
    """The second attempt, which takes up to twice the memory of the first. It leaves the pipeline in float32."""
    try:
        for model in _models(pipeline):
            model.to(torch.float32)
        with watched(pipeline):
            return draw()
    except _NonFiniteError as error:
        raise _failure(what, _NEVER_FINITE) from error
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise _failure(what, _TOO_LARGE) from error
        raise


def check_latents(latents: torch.Tensor) -> torch.Tensor:
    """Latents that no VAE decodes, inside `draw_finite`: of any shape, returned as they are."""
    if not torch.isfinite(latents).all():
        raise _NonFiniteError
    return latents


@contextmanager
def watched(pipeline: Any) -> Iterator[None]:
    """Stop at a decoding whose latents or pixels are not finite, before they become 8-bit numbers."""

    def check(decoder: torch.nn.Module, inputs: tuple[Any, ...], pixels: torch.Tensor) -> None:
        check_latents(inputs[0])
        check_latents(pixels)

    hook = pipeline.vae.decoder.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


def has_finite_weights(pipeline: Any) -> bool:
    """Whether all weights are numbers. One beyond half precision's range becomes infinite when it is loaded."""
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
        # The smallest first: after memory ran out, each makes room for the next.
        for (module, name), dtype in sorted(
            before.items(), key=lambda each: _own_tensors(each[0][0])[each[0][1]].numel()
        ):
            tensor = _own_tensors(module)[name]
            if tensor.dtype != dtype:
                tensor.data = tensor.data.to(dtype)


def _own_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return {name: tensor for name, tensor in own.items() if tensor.is_floating_point()}


_NEVER_FINITE = "in float32, too"
_TOO_LARGE = "in half precision, and memory ran out when it was drawn again in float32"


def _failure(what: str, when: str) -> NonFiniteOutputError:
    return NonFiniteOutputError(
        f"{what} came out as NaN or infinite values {when}. Choose another sampler, more steps or a lower "
        "guidance scale; with a LoRA lower loraScale, or train it again with a lower learning rate."
    )
