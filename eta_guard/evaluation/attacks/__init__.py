"""Ways to get past a guard, as decorators of suites: cases in, attacked cases out.

Every attack is told in ``catalogue``. A hazard and its harmless twin are treated alike, from the
same seed, so that what an attack costs safe requests is measured as well. Whatever is hidden in a
picture is handed over as the bytes of an image file, and comes to the guard through its own reader.
"""
