"""Makes the small base models: draws training pictures, trains, exports, and scores the result."""
