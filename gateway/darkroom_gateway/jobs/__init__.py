"""Jobs of both kinds: storage in memory, lookup, listing, submission, and their JSON."""
