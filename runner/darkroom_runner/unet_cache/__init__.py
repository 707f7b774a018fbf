"""Reuse of the U-Net's deep features between denoising steps, for SDXL and SVD.

`unet_cache` replaces a pipeline's U-Net for one generation. `network` divides a forward pass into three parts,
`policies` decide at each pass how much of it runs, and `cached_unet` joins the two.
"""
