"""`/v1`: JSON submissions, and jobs of both kinds in one schema."""
