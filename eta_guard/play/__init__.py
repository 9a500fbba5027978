"""The playground: a local page on which a request is seen to go through the graph.

It is a view over the graph's own ``custom`` events and over the verdict; it decides nothing.
"""
