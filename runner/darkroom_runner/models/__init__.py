"""Models: pretrained pipelines, the device that they run on, and trained LoRAs in object storage."""
