"""OpenTelemetry spans of requests. Off by default."""
