"""The command `darkroom`. Only what a command needs is imported, when it runs."""
