"""Infrastructure of one run: context, progress, storage, log, remarks, stop signal, termination message."""
