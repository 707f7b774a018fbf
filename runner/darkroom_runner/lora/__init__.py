"""LoRA adapters and the two file formats in which they are saved: diffusers (peft names) and Kohya."""
