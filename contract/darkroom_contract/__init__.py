"""What the parts of Darkroom agree on: kinds, run documents, progress, outcomes and storage keys."""
