"""POST /train and GET /result."""
