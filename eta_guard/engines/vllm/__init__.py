"""A vLLM server, asked over HTTP."""
