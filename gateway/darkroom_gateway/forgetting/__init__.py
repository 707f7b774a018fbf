"""Deleting what belongs to a person: files of jobs, datasets past their retention, models."""
