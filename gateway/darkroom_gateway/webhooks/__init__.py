"""Webhooks: sends the events of jobs to addresses that their specs name."""
