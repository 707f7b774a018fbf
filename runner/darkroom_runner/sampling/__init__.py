"""Inference with SDXL and SVD: samplers, DeepCache, prompt length, NaN checks, image and video output."""
