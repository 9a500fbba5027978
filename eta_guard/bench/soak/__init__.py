"""Many requests at once, of all kinds: is each given its own result, and is nothing left behind?"""
