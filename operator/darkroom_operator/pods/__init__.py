"""Pods of runs: building the manifest, checking the template, reading state and outcome. Pure."""
