"""Which job runs next and when: pure decisions on a snapshot."""
