"""A request's messages become pixels and text."""
