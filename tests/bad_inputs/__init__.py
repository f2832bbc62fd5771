"""Bad inputs, and the answer that each deserves: never a hang, never a dead worker.

`test_index` names the test of each; those that any executor has to stand stand with the properties.
"""
