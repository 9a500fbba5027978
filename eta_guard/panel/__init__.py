"""The evaluators of a guard, asked as one: each finding against its threshold, and all together."""
