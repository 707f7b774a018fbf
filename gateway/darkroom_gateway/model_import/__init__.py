"""POST /v1/models: LoRAs that were made elsewhere."""
