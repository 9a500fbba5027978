"""The methods that are measured side by side: each takes a case under way, and answers it."""
