"""What is done with text alone: sentences, plain text, an answer as it grows."""
