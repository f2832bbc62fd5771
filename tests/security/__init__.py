"""What holds although others can write to the server, read the machine, or sit on the way.

`docs/security.md` says what is promised; each line of it names a test of this folder.
"""
