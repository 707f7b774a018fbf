"""Classifies the tensor names of LoRA files: which tool's form they have, and what no reader of Darkroom would apply.

Used by the gateway before it stores a LoRA, and by the runner before it converts one; pure Python, without torch. Read
forms:

    Kohya                 lora_unet_<block>_….lora_down.weight, lora_te1_…, lora_te2_…; blocks as in SGM or diffusers
    LyCORIS               lycoris_<block>_….lokr_w1; and hada_*, lokr_*, diff under Kohya's prefixes
    diffusers, old        unet.….attn1.processor.to_q_lora.down.weight, unet.….lora.down.weight
    diffusers, peft       unet.….lora_A.weight, text_encoder.…; base_model.model.….lora_A.weight; without any prefix

A tensor belongs to a module and has a role in it. Modules are compared by their *flat* name, with underscores for dots,
so that all forms name a module in one of two ways: by diffusers' blocks or by SGM's.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

from darkroom_contract.lora_architectures import other_architecture
from darkroom_contract.safetensors_header import TensorInfo

UNET, TEXT_ENCODER, TEXT_ENCODER_2 = "unet", "text_encoder", "text_encoder_2"
MAX_LISTED = 3
"""Names that a message lists."""


class LoraForm(StrEnum):
    """Naming schemes."""

    KOHYA_SGM = "KohyaSgm"
    KOHYA_DIFFUSERS = "KohyaDiffusers"
    DIFFUSERS_OLD = "DiffusersOld"
    DIFFUSERS_PEFT = "DiffusersPeft"
    PEFT = "Peft"
    """peft's own, with the prefix `base_model.model.`."""
    BARE = "Bare"
    """Paths of the U-Net's modules, without prefix."""
    MIXED = "Mixed"
    UNKNOWN = "Unknown"


class LoraKind(StrEnum):
    """How a module's weight change is computed from its tensors."""

    LORA = "LoRA"
    LOHA = "LoHa"
    LOKR = "LoKr"
    DIFFERENCE = "Difference"


_ROLES_OF_KIND = {
    LoraKind.LORA: ({"down", "up"}, {"mid"}),
    LoraKind.LOHA: ({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}, {"hada_t1", "hada_t2"}),
    LoraKind.LOKR: (set(), {"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}),
    LoraKind.DIFFERENCE: ({"diff"}, set()),
}
"""Roles of a module's tensors: the ones that it needs, and the ones that it may have. All kinds may have these:"""
_COMMON_ROLES = {"alpha", "dora_scale", "magnitude", "diff_b"}

_TENSOR = re.compile(
    r"(?P<module>.+?)(?P<old>_lora)?(?:"
    r"\.lora_(?P<new>A|B|down|up|mid)(?:\.default)?\.weight"
    r"|(?:\.lora|\.lora_linear_layer)?\.(?P<plain>down|up)\.weight"
    r"|\.(?P<magnitude>lora_magnitude_vector)(?:\.default)?(?:\.weight)?"
    r"|(?:\.lora)?\.(?P<alpha>alpha)"
    r"|\.(?P<other>hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2|diff|diff_b|dora_scale)"
    r")"
)
_NEW_ROLES = {"A": "down", "B": "up"}

_KOHYA_PREFIXES = {
    "lora_unet_": UNET,
    "lora_te1_": TEXT_ENCODER,
    "lora_te2_": TEXT_ENCODER_2,
    "lora_te_": TEXT_ENCODER,
    "lycoris_": UNET,
}
_PEFT_PREFIX = "base_model.model."
_COMPONENTS = {"unet.": UNET, "text_encoder.": TEXT_ENCODER, "text_encoder_2.": TEXT_ENCODER_2}
_SGM_BLOCKS = ("input_blocks_", "middle_block_", "output_blocks_", "time_embed_", "label_emb_", "out_2")
_UNET_BLOCKS = (
    *_SGM_BLOCKS,
    *("down_blocks_", "mid_block_", "up_blocks_", "conv_in", "conv_out", "time_embedding_", "add_embedding_"),
)
_OLD_TEXT_LAYERS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_EMBEDDINGS = ("bundle_emb.", "emb_params", "clip_l", "clip_g", "string_to_param")
_FLOATS = ("F16", "BF16", "F32", "F64")
_NUMBERS = (*_FLOATS, "I32", "I64")
"""Of an alpha: diffusers' `convert_state_dict_to_kohya` writes it as an integer."""


@dataclass(frozen=True)
class LoraTensor:
    """What a tensor's name says."""

    form: LoraForm
    component: str
    """The pipeline's component: `unet`, `text_encoder` or `text_encoder_2`."""
    module: str
    """Its flat name, such as `down_blocks_1_attentions_0_proj_in` or `input_blocks_4_1_proj_in`."""
    role: str
    """`down`, `up`, `alpha`, `hada_w1_a` and so on."""


@dataclass(frozen=True)
class LoraModule:
    """The tensors that change one module, by role."""

    kind: LoraKind
    tensors: dict[str, str]
    """Role -> the tensor's name in the file."""

    @property
    def is_dora(self) -> bool:
        return not {"dora_scale", "magnitude"}.isdisjoint(self.tensors)


@dataclass(frozen=True)
class LoraNames:
    """The result: what a file's names mean."""

    form: LoraForm
    modules: dict[tuple[str, str], LoraModule]
    """By component and flat name; complete ones only."""
    refused: tuple[str, ...]
    """Names that are unknown, unsupported, or of modules that lack a part."""
    ranks: tuple[int, ...] = ()
    """All ranks of LoRA, LoHa and LoKr modules, ascending."""
    kinds: tuple[LoraKind, ...] = ()
    architecture: str | None = None
    """The other architecture that the file is plainly for, such as `Stable Diffusion 1.5`; None for SDXL or unclear."""
    embeddings: tuple[str, ...] = field(default=(), repr=False)

    @property
    def has_text_encoders(self) -> bool:
        return any(component != UNET for component, _ in self.modules)

    @property
    def has_dora(self) -> bool:
        return any(module.is_dora for module in self.modules.values())

    @property
    def fault(self) -> str | None:
        """Why the file can't be used with SDXL, in whole sentences; None if nothing speaks against it."""
        if self.architecture is not None:
            return f"It is a LoRA for {self.architecture}, not for SDXL. Use a LoRA that was made for SDXL."
        if self.embeddings:
            return (
                f"It contains a textual-inversion embedding ({shortened(self.embeddings)}), which would be dropped. "
                "Remove the embedding from the file, or use a LoRA without one."
            )
        if not self.modules and not self.refused:
            return "It is not a LoRA: it has no tensors."
        if not self.modules and not any(map(_looks_like_lora, self.refused)):
            return f"It is not a LoRA: no tensor has the name of a LoRA's ({shortened(self.refused)})."
        if self.refused:
            return (
                f"{len(self.refused)} of its tensors can't be applied and would be dropped: "
                f"{shortened(self.refused)}. Supported are LoRA, DoRA, LoHa, LoKr and weight differences."
            )
        return None


def classify(tensors: Mapping[str, TensorInfo]) -> LoraNames:
    """What the names of a file's tensors mean. Never raises; see `LoraNames.fault`."""
    parsed: dict[str, LoraTensor] = {}
    modules: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    refused = set[str]()
    for name, info in tensors.items():
        tensor = parse_name(name)
        if tensor is None or not _has_valid_shape(tensor.role, info.shape):
            refused.add(name)
            continue
        if info.dtype not in (_NUMBERS if tensor.role == "alpha" else _FLOATS):
            refused.add(name)
            continue
        roles = modules[tensor.component, tensor.module]
        if tensor.role in roles:
            refused.add(name)
        parsed[name] = tensor
        roles.setdefault(tensor.role, name)
    kinds = {key: _kind(set(roles)) for key, roles in modules.items()}
    refused.update(name for key, kind in kinds.items() if kind is None for name in modules[key].values())
    complete = {key: LoraModule(kind, modules[key]) for key, kind in kinds.items() if kind is not None}
    return LoraNames(
        form=_form({each.form for name, each in parsed.items() if name not in refused}),
        modules=complete,
        refused=tuple(name for name in tensors if name in refused),
        ranks=tuple(sorted({rank for each in complete.values() if (rank := _rank(each, tensors))})),
        kinds=tuple(sorted({each.kind for each in complete.values()})),
        architecture=other_architecture(tensors),
        embeddings=tuple(name for name in tensors if name.startswith(_EMBEDDINGS)),
    )


def _has_valid_shape(role: str, shape: tuple[int, ...]) -> bool:
    return prod(shape) == 1 if role == "alpha" else bool(shape) and 0 not in shape


def parse_name(name: str) -> LoraTensor | None:
    """What one tensor's name means; None if it is unknown or has a role that no reader of Darkroom applies."""
    match = _TENSOR.fullmatch(name)
    if match is None:
        return None
    found = _component(match["module"], is_old=match["old"] is not None or match["plain"] is not None)
    if found is None:
        return None
    form, component, path = found
    role = match["plain"] or match["alpha"] or match["other"] or (match["magnitude"] and "magnitude")
    role = role or _NEW_ROLES.get(match["new"], match["new"])
    module = _flat_module(component, path, is_old=match["old"] is not None)
    if component == UNET and not module.startswith(_UNET_BLOCKS):
        return None
    if form is LoraForm.KOHYA_DIFFUSERS and module.startswith(_SGM_BLOCKS):
        form = LoraForm.KOHYA_SGM
    return LoraTensor(form, component, module, role)


def _looks_like_lora(name: str) -> bool:
    return _TENSOR.fullmatch(name) is not None or name.startswith(tuple(_KOHYA_PREFIXES))


def shortened(names: tuple[str, ...]) -> str:
    """The first few names, and how many more there are. Control characters become `?`: they would change a terminal."""
    listed = ", ".join(
        "".join(each if each.isprintable() else "?" for each in name[:120]) for name in names[:MAX_LISTED]
    )
    return f"{listed} and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else listed


def _component(module: str, is_old: bool) -> tuple[LoraForm, str, str] | None:
    """The form, the pipeline's component and the path in it."""
    for prefix, component in _KOHYA_PREFIXES.items():
        if module.startswith(prefix) and "." not in module:
            return LoraForm.KOHYA_DIFFUSERS, component, module.removeprefix(prefix)
    is_peft = module.startswith(_PEFT_PREFIX)
    module = module.removeprefix(_PEFT_PREFIX)
    usual = LoraForm.DIFFUSERS_OLD if is_old else LoraForm.PEFT if is_peft else LoraForm.DIFFUSERS_PEFT
    for prefix, component in _COMPONENTS.items():
        if module.startswith(prefix):
            return usual, component, module.removeprefix(prefix)
    bare = LoraForm.PEFT if is_peft else LoraForm.DIFFUSERS_OLD if is_old else LoraForm.BARE
    return (bare, UNET, module) if "." in module or module.startswith("conv_") else None


def _flat_module(component: str, path: str, is_old: bool) -> str:
    """diffusers' old names call the attention's projections otherwise than its modules."""
    path = path.replace(".processor", "")
    if is_old:
        parent, _, layer = path.rpartition(".")
        renamed = {"to_out": "to_out.0"} if component == UNET else _OLD_TEXT_LAYERS
        path = f"{parent}.{renamed.get(layer, layer)}"
    return path.replace(".", "_")


def _kind(roles: set[str]) -> LoraKind | None:
    """The kind with exactly these roles; None for a part that is missing or superfluous."""
    own = roles - _COMMON_ROLES
    if {"dora_scale", "magnitude"} <= roles:
        return None
    for kind, (needed, possible) in _ROLES_OF_KIND.items():
        if own and needed <= own <= needed | possible:
            return kind if kind is not LoraKind.LOKR or _is_complete_lokr(own) else None
    return None


def _is_complete_lokr(roles: set[str]) -> bool:
    """Each of its two factors is there, whole or as a product."""
    return all(
        (f"lokr_w{number}" in roles) != ({f"lokr_w{number}_a", f"lokr_w{number}_b"} <= roles) for number in (1, 2)
    )


def _rank(module: LoraModule, tensors: Mapping[str, TensorInfo]) -> int | None:
    """The smaller side that the parts of a product share; None for a whole factor or difference."""
    for role, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0)):
        if role in module.tensors:
            shape = tensors[module.tensors[role]].shape
            return shape[axis] if shape else None
    return None


def _form(forms: set[LoraForm]) -> LoraForm:
    if len(forms) == 1:
        return next(iter(forms))
    if forms == {LoraForm.KOHYA_SGM, LoraForm.KOHYA_DIFFUSERS}:
        return LoraForm.KOHYA_SGM  # text encoders have no blocks
    return LoraForm.MIXED if forms else LoraForm.UNKNOWN
