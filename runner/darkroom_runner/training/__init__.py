"""Trains SDXL DreamBooth LoRAs. `session` puts the parts together; `trainer` has the training loop.

The method is that of diffusers' `train_dreambooth_lora_sdxl.py`. Papers: DreamBooth (arXiv 2208.12242),
LoRA (2106.09685), SDXL (2307.01952), min-SNR (2303.09556).
"""
