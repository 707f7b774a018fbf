"""The text that a photo is shown with in one batch: its prompt, after caption dropout and tag shuffling. Pure."""

import torch

from darkroom_contract.specs.training import Training

EMPTY_PROMPT = ""
"""The unconditional prompt of classifier-free guidance. How it is encoded depends on the base model; see
`prompt_embeddings`."""


def changes_prompts(training: Training) -> bool:
    """Whether a photo's text may differ from batch to batch."""
    return training.shuffle_tags or training.caption_dropout > 0


def shown_prompt(prompt: str, training: Training, rng: torch.Generator) -> str:
    """The text of one sample. The random numbers that it takes do not depend on the text."""
    dropped = float(torch.rand(1, generator=rng)) < training.caption_dropout
    tags_rng = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=rng)))
    if dropped:
        return EMPTY_PROMPT
    return shuffle_tags(prompt, training.keep_tags, tags_rng) if training.shuffle_tags else prompt


def shuffle_tags(prompt: str, keep: int, rng: torch.Generator) -> str:
    """Shuffle the comma-separated tags after the first `keep`."""
    kept, moved = _split(prompt, keep)
    if len(moved) < 2:
        return prompt
    order = torch.randperm(len(moved), generator=rng).tolist()
    return ", ".join(kept + [moved[index] for index in order])


def has_tags_to_shuffle(prompt: str, keep: int) -> bool:
    return len(_split(prompt, keep)[1]) > 1


def _split(prompt: str, keep: int) -> tuple[list[str], list[str]]:
    """The tags that stay in place, and the others. Empty tags, as in `a, , b`, are dropped."""
    tags = [tag for each in prompt.split(",") if (tag := each.strip())]
    return tags[:keep], tags[keep:]
