"""OpenTelemetry traces of requests and jobs. Off by default."""
