"""The runner: executes one training or generation on a GPU, from the run document to the uploaded artifacts."""
