"""A package, so that its fixtures of scope `package` end with its last test: idle servers take 2% of a core."""
