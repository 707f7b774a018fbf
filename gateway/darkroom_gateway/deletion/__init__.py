"""Deletion of jobs with their files, of models, and of datasets past their retention."""
