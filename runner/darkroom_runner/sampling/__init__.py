"""Inference with SDXL and SVD: samplers, prompt length, NaN checks, image and video output."""
