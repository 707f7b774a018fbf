"""Photos of a dataset: limits, decoding and colours."""
