"""Response evaluators that are reward models."""
