"""The kopf operator: admits one job at a time, makes its pod, writes its status."""
