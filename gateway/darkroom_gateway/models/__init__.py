"""Trained LoRAs and base models."""
