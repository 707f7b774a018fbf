"""A package, so that its fixtures of scope `package` end with the last story: an idle cluster takes 2% of a core."""
