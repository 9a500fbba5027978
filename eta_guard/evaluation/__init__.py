"""Measures what a guard does: methods side by side on cases whose answers are judged."""
