"""What a job's status says: transitions and conditions. Pure."""
