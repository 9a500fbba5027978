"""Model servers, asked over HTTP: clients, retries, and what they tell of a model."""
