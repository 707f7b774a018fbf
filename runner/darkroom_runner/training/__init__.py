"""SDXL DreamBooth LoRA, in rooms: encodings, prompts, prior, objective, loop. `train_job` puts them together.

The method is that of diffusers' `train_dreambooth_lora_sdxl.py`; papers: DreamBooth (arXiv 2208.12242),
LoRA (2106.09685), SDXL (2307.01952), min-SNR (2303.09556).
"""
