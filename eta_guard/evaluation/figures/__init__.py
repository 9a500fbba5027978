"""What is told of a run: rates with their intervals, win-tie rates, and the paper's beside them."""
