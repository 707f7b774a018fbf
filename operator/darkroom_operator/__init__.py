"""The kopf operator: admits one job at a time, creates its pod, writes its status."""
