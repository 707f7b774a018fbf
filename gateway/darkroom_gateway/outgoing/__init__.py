"""HTTP requests to addresses that users choose: links to pictures, and webhooks."""
