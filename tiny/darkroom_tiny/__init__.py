"""The workshop of the small base models: draws pictures, trains on them, exports, and judges what comes out."""
