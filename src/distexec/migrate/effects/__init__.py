"""What running a function does to the world around it, followed through calls in the tree.

Read `effect` for what is found, `writes` for whose memory changes, `reader` for one function, and
`chains` for what follows from the functions that it calls.
"""
