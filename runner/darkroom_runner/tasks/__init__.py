"""The tasks of the runner, one module each: train, generate, text to image, image to video."""
