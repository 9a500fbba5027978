"""Evaluators: they score images and answers and know nothing of policy, graph or engine."""
