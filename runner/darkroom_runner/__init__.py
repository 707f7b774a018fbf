"""What runs on the GPU: one training or generation run, from run document to uploaded artifacts."""
