"""What each view of a picture costs and catches, and the offsets that keep its false alarms few."""
