"""Rewrite ``concurrent.futures`` code to distexec where that is safe, and say why it is not.

This package stands alone: it imports nothing else of distexec, and LibCST only for syntax newer
than the interpreter that runs it. A run goes one way::

    files ──> survey ──────> pools ─────> follow ────> rules ─────> decide ────> rewrite ──> disk
    which     bytes that     each call    what is      what could   rewritten,   exact text  all or
    to read   matter, then   of an        submitted,   go wrong,    kept or      edits       nothing
              ``ast``        executor     who holds    and where    unsafe
                             class        the pool

Only text at the places that change is touched; every other byte of a file stays as it was.
"""
