"""A picture in other views than its own: geometry, and what each view's score is held against."""
