"""The HTTP door: requests in, custom resources out; status, live progress and signed links back."""
