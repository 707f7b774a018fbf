"""Model cards of the small models: description and scores. Written by the command that exports the models."""

from darkroom_tiny.draw import BACKGROUNDS, COLOURS, SHAPES
from darkroom_tiny.score import GUIDANCE_SCALE, STEPS, Scores


def sdxl_card(scores: Scores) -> str:
    return f"""---
library_name: diffusers
license: mit
pipeline_tag: text-to-image
---

# darkroom-tiny-sdxl

Stable Diffusion XL's architecture (diffusers classes, two CLIP text encoders, size conditioning) with small dimensions,
trained from scratch on drawn pictures of one shape on a plain background. It is for tests and demonstrations: a
picture takes about a second on a laptop's CPU. It knows these words:

- shapes: {", ".join(SHAPES)}
- colours: {", ".join(COLOURS)}
- backgrounds: {", ".join(BACKGROUNDS)}
- sizes and styles: small, large; plain, striped, outlined

Pictures are 128×128, latents 16×16×4. Prompts look like `a red star on a navy background`.

| prompts | correct in shape, colour and background |
|---|---|
| 100 of the 720 combinations | {scores.all_prompts:.2f} |
| of these, the 40 that were excluded from training | {scores.held_out:.2f} |

{STEPS} steps, guidance scale {GUIDANCE_SCALE:g}, one picture for each prompt, checked by
`darkroom_tiny/scene_detector.py` from its pixels.

Made by `darkroom-tiny train`, which takes about two hours on two CPU cores, and measured by `darkroom-tiny score`.
It contains nothing from any other model or data set.
"""


def svd_card(sdxl_name: str) -> str:
    return f"""---
library_name: diffusers
license: mit
pipeline_tag: image-to-video
---

# darkroom-tiny-svd

Stable Video Diffusion's architecture with small dimensions, trained from scratch on drawn clips in which a shape moves
to the right and turns slightly. It animates the pictures of `{sdxl_name}`: 8 frames of 128×128.
`motion_bucket_id` sets how far the shape moves; 127 is a twelfth of the picture. It shares the VAE of `{sdxl_name}`.

Made by `darkroom-tiny train`. It contains nothing from any other model or data set.
"""
