"""The custom resource definitions and their reference, generated from the models."""
