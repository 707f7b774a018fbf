"""Child processes: started, probed, restarted, and killed with their parent; and the loopback ports they listen on."""
