"""Ways to spread a run: over this process alone, processes of this machine, or Ray workers."""
