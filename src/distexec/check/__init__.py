"""Look at every call of a program while it runs on threads: what would break on a cluster?

``python -m distexec.check script.py args...`` runs any program that uses ``concurrent.futures`` or
distexec; ``DISTEXEC_CHECK=1`` does it for a program that imports distexec, and ``cluster="check"``
for one executor. Reading code can only suspect; this sees::

    submit() ──> can the call be pickled?  ──> worker thread: fingerprints of arguments, captured
                 if not, what cannot            variables and globals; the call; fingerprints again
                                                        │
    report at exit, by call site  <── does the result survive pickling? <──┘

Cost is bounded: the first calls of each site are looked at, later ones only while looking takes
less time than the program itself.
"""

from distexec.check.inspector import Inspector
from distexec.check.process import CheckedPool, is_watching, watch, watch_process

__all__ = ["CheckedPool", "Inspector", "is_watching", "watch", "watch_process"]
