"""Recognises few-step LoRAs (LCM, Lightning, Hyper-SD, TCD, DMD2) and adds remarks for settings that don't suit them.

Such a LoRA is distilled for one sampler, a few steps and no guidance; with other settings images are grey, burnt or
blurred. Nothing is changed silently: the remark says what to set. Only names and the spec are read; no model is loaded.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.run.remarks import Remarks

MAX_STEPS = 12
MAX_GUIDANCE_SCALE = 2.0
MAX_TITLE_CHARACTERS = 300
"""Read of each name: a header may have megabytes, and the patterns take quadratic time."""
_TITLES = ("modelspec.title", "ss_output_name")
"""Metadata in which trainers store a LoRA's name."""


@dataclass(frozen=True)
class FewStepKind:
    """A distillation method, its samplers (the first is its authors') and their advice."""

    name: str
    pattern: re.Pattern[str]
    samplers: tuple[Scheduler, ...]
    steps: str
    guidance_scale: str = "1"
    max_guidance_scale: float = MAX_GUIDANCE_SCALE


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})(?![a-z])", re.IGNORECASE)


KINDS = (
    # https://huggingface.co/ByteDance/Hyper-SD: files of 8 and 12 steps with "CFG" in their names keep guidance.
    FewStepKind(
        "Hyper-SD with guidance",
        _words(r"hyper[-_ ]?(sd|sdxl).*cfg.*"),
        (Scheduler.EULER_TRAILING, Scheduler.TCD, Scheduler.DDIM),
        "8 to 12",
        "5 to 8",
        8.0,
    ),
    FewStepKind(
        "Hyper-SD",
        _words(r"hyper[-_ ]?(sd|sdxl)\d*"),
        (Scheduler.TCD, Scheduler.EULER_TRAILING, Scheduler.LCM),
        "1 to 8",
    ),
    # https://huggingface.co/ByteDance/SDXL-Lightning
    FewStepKind(
        "Lightning",
        _words(r"(sdxl|xl)[-_ ]?lightning|lightning[-_ ]?(\d+[-_ ]?steps?|lora)"),
        (Scheduler.EULER_TRAILING,),
        "2 to 8",
    ),
    # https://huggingface.co/tianweiy/DMD2
    FewStepKind("DMD2", _words(r"dmd2?(?=\d|[^a-z0-9]|$)"), (Scheduler.LCM,), "4"),
    # https://huggingface.co/h1t/TCD-SDXL-LoRA
    FewStepKind("TCD", _words(r"tcd"), (Scheduler.TCD,), "4 to 8"),
    # https://huggingface.co/latent-consistency/lcm-lora-sdxl
    FewStepKind("LCM", _words(r"lcm"), (Scheduler.LCM,), "2 to 8"),
)

_FEW_STEP_SAMPLERS = {Scheduler.LCM: "LCM", Scheduler.TCD: "TCD"}
"""Samplers for few steps only. EulerTrailing also suits ordinary models with many steps."""


def few_step_kind(lora: FetchedLora) -> FewStepKind | None:
    """The kind of a few-step LoRA, by its model id, the file that it was imported from, its URI, or its title."""
    texts = [lora.source.model_id, lora.source.uri and lora.source.uri.rsplit("/", 1)[-1]]
    texts += [lora.record.source.rsplit("/", 1)[-1] if lora.record and lora.record.source else None]
    texts += [lora.metadata.get(title) for title in _TITLES]
    for kind in KINDS:
        if any(kind.pattern.search(text[:MAX_TITLE_CHARACTERS]) for text in texts if text):
            return kind
    return None


def remark_on_few_steps(spec: GenerateJobSpec, loras: Sequence[FetchedLora], remarks: Remarks) -> None:
    """Add the remark `SettingUnsuitable` for each few-step LoRA whose sampler, steps, guidance or cache don't fit; or
    for a sampler that is made for few steps."""
    found = False
    for lora, use in zip(loras, spec.used_loras, strict=True):
        kind = few_step_kind(lora) if use.scale > 0 else None
        if kind is None:
            continue
        found = True
        if advice := _advice(spec, kind):
            _unsuitable(remarks, f"LoRA {lora.name!r} is made for few steps ({kind.name}). Set {' and '.join(advice)}.")
    sampler = spec.images.scheduler
    if not found and sampler in _FEW_STEP_SAMPLERS and (advice := _sampler_advice(spec)):
        _unsuitable(
            remarks,
            f"The sampler {sampler.value} is made for few steps. Set {' and '.join(advice)}, or choose another "
            "images.scheduler.",
        )


def _advice(spec: GenerateJobSpec, kind: FewStepKind) -> list[str]:
    images, advice = spec.images, list[str]()
    if images.scheduler not in kind.samplers:
        advice.append(f"images.scheduler to {kind.samplers[0].value}")
    if images.steps > MAX_STEPS:
        advice.append(f"images.steps to {kind.steps} (now {images.steps})")
    if images.guidance_scale > kind.max_guidance_scale:
        advice.append(f"images.guidanceScale to {kind.guidance_scale} (now {images.guidance_scale:g})")
    if spec.cache.effective_interval > 1 and images.steps > 1:
        advice.append("cache.profile to Disabled")
    return advice


def _sampler_advice(spec: GenerateJobSpec) -> list[str]:
    images, advice = spec.images, list[str]()
    if images.steps > MAX_STEPS:
        advice.append(f"images.steps to {MAX_STEPS} or less (now {images.steps})")
    if images.guidance_scale > MAX_GUIDANCE_SCALE:
        advice.append(f"images.guidanceScale to {MAX_GUIDANCE_SCALE:g} or less (now {images.guidance_scale:g})")
    return advice


def _unsuitable(remarks: Remarks, message: str) -> None:
    remarks.add(RemarkReason.SETTING_UNSUITABLE, message)
